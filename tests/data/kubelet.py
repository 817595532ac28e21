"""The one thing of a kubelet that reading logs needs: says which pod and how many lines it was asked for."""
import http.server
import ssl
import sys
import urllib.parse


class Kubelet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        lines = urllib.parse.parse_qs(url.query).get("tailLines", ["all"])[0]
        body = f"log {url.path} tail={lines}\n".encode()
        self.send_response(200 if url.path.startswith("/containerLogs/") else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kubelet)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
