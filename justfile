# The short list of commands. None is needed for the README's two, which are plain cargo.

_list:
    @{{ just_executable() }} --list --unsorted

# start Doorstep with no configuration at all (or with `doorstep.toml`)
run *ARGS:
    cargo run --release -- {{ ARGS }}

# all tests, on both databases where PostgreSQL's programs are installed
test *ARGS:
    cargo test --workspace {{ ARGS }}

# what CI checks besides the tests
check:
    scripts/check

# write openapi/openapi.json anew from the handlers
openapi:
    mkdir -p openapi
    cargo run --package doorstep-api --quiet -- openapi > openapi/openapi.json.new
    mv openapi/openapi.json.new openapi/openapi.json

# measure, by the method of docs/performance.md
bench *ARGS:
    cargo build --release --package doorstep-api
    cargo run --release --package doorstep-tests --bin bench -- {{ ARGS }}

# licences, banned crates, sources, and (where its database can be had) advisories
deny *ARGS:
    cargo deny --version
    cargo deny --locked check {{ ARGS }}

# throw away ./data: the SQLite database, its secret, and the mail
[confirm("Throw away ./data with all accounts in it?")]
clean-data:
    rm -rf data
