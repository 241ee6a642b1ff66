#!/bin/sh
# Builds the Lua guest and writes ../guest.wasm.
#   --check     compares instead with the guest.wasm that is checked in
# RESTROY_GUEST_SNAPSHOT may name a built lua-wasm-host-snapshot; otherwise cargo builds it here.
# Needs rustup, python3 with pip, and the network once (target, compiler, crates).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
host=$here/..
check=false
case ${1-} in
    --check) check=true ;;
    '') ;;
    *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

zig_version=0.17.1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/restroy
zig_home=$cache/ziglang-$zig_version
if [ ! -x "$zig_home/ziglang/zig" ]; then
    echo "installing ziglang $zig_version into $zig_home" >&2
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        --target "$zig_home" "ziglang==$zig_version"
fi
export RESTROY_ZIG="$zig_home/ziglang/zig"

(cd "$root" && rustup target list --installed | grep -qx wasm32-wasip1) \
    || (cd "$root" && rustup target add wasm32-wasip1)

# No path of this machine may reach the bytes.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(cd "$root" && rustc --print sysroot)
target=${RESTROY_GUEST_TARGET_DIR:-$here/target}
unset RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
flags=$(printf '%s\037' \
    "--remap-path-prefix=$here=/guest" \
    "--remap-path-prefix=$host=/lua-wasm-host" \
    "--remap-path-prefix=$cargo_home=/cargo" \
    "--remap-path-prefix=$sysroot=/rust" \
    "--remap-path-prefix=$target=/target")-Clink-arg=-zstack-size=524288

(
    cd "$here"
    export CARGO_ENCODED_RUSTFLAGS="$flags"
    export CC_wasm32_wasip1="$here/toolchain/cc" AR_wasm32_wasip1="$here/toolchain/ar"
    export CRATE_CC_NO_DEFAULTS=1
    export CFLAGS_wasm32_wasip1="-O3 -flto -g0 -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$here=/guest"
    # Cargo does not know what Lua's sources are compiled with.
    stamp=$(cat c/* toolchain/* | cksum)
    if [ "$stamp" != "$(cat "$target/stamp" 2>/dev/null)" ]; then
        cargo clean --quiet --release --target wasm32-wasip1 --target-dir "$target" -p mlua-sys -p lua-wasm-guest
        mkdir -p "$target" && echo "$stamp" > "$target/stamp"
    fi
    cargo build --locked --release --target wasm32-wasip1 --target-dir "$target"
)
raw=$target/wasm32-wasip1/release/lua_wasm_guest.wasm
built=$target/guest.wasm
if [ -n "${RESTROY_GUEST_SNAPSHOT-}" ]; then
    "$RESTROY_GUEST_SNAPSHOT" "$raw" "$built"
else
    (cd "$root" && cargo run --quiet --locked -p lua-wasm-host-snapshot -- "$raw" "$built")
fi

if $check; then
    if cmp -s "$built" "$host/guest.wasm"; then
        echo "lua-wasm-host/guest.wasm is what lua-wasm-host/guest builds to"
    else
        echo "lua-wasm-host/guest.wasm is NOT what lua-wasm-host/guest builds to." >&2
        echo "Run lua-wasm-host/guest/build.sh and commit the result." >&2
        sha256sum "$built" "$host/guest.wasm" >&2 || true
        exit 1
    fi
else
    cp "$built" "$host/guest.wasm"
    echo "wrote lua-wasm-host/guest.wasm ($(wc -c < "$built") bytes)"
fi
