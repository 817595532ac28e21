# serve-http.sh - sourced by the client checks: `start_server CONFIG` runs `serve --http` on a free port in the background and sets
# `url`; `stop_server` ends it by its process id.
server=
start_server() {
  local log=$work/server.log
  # On a busy machine it is read before the server has made it.
  : >"$log"
  "$program" --config "$1" serve --http 127.0.0.1:0 2>"$log" &
  server=$!
  for _ in $(seq 100); do
    url=$(sed -nE 's/.*serving MCP at (http[^; ]+).*/\1/p' "$log")
    [ -z "$url" ] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  echo "the server did not start:" >&2
  cat "$log" >&2
  return 1
}
stop_server() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=
  fi
}
