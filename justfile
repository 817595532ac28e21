# Everything, as CI does it
test:
    ./scripts/test.sh

# Without the lab's hosts
test-quick:
    ./scripts/test.sh --no-lab

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny check bans licenses sources

demo:
    cargo run --release -- demo

target:
    ./scripts/build-target.sh

bench-ssh:
    scripts/bench-ssh.sh

mutants:
    ./scripts/mutants.sh

bench:
    cargo bench -p mcp-linux-infra --bench startup

lab-up:
    LAB_DIRECT=2 lab/up.sh 2 && lab/deploy.sh t1 t2

lab-down:
    lab/down.sh
