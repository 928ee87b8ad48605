#!/bin/sh
# Lock the dependencies of pyproject.toml with hashes; no index address is recorded. --check: only compare.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
[ -x "$uv" ] || uv=uv
compile() {
    target=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
        "$@" pyproject.toml --output-file "$target"
}
if [ "${1:-}" = "--check" ]; then
    for name in runtime test dev; do cp "requirements/$name.txt" "requirements/$name.before"; done
fi
compile requirements/runtime.txt --extra embedded --extra redis
compile requirements/test.txt --extra embedded --extra redis --extra test --constraint requirements/runtime.txt
compile requirements/dev.txt --extra embedded --extra redis --extra test --extra lint --extra bench --constraint requirements/test.txt
if [ "${1:-}" = "--check" ]; then
    for name in runtime test dev; do
        if ! cmp -s "requirements/$name.txt" "requirements/$name.before"; then
            echo "requirements/$name.txt does not match pyproject.toml; run requirements/compile.sh" >&2
            exit 1
        fi
        rm "requirements/$name.before"
    done
fi
