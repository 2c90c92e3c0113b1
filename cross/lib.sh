# What the scripts here share: names, folders, the release's date. Read by them, not run.
# shellcheck shell=bash

set -euo pipefail

CROSS=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd -- "$CROSS/.." && pwd)
# Tools that are fetched once, what is built, and what comes out.
TOOLS=${TIDEGATE_TOOLS:-$ROOT/target/tools}
BUILD=${TIDEGATE_BUILD:-$ROOT/target/release-build}
DIST=${TIDEGATE_DIST:-$ROOT/target/dist}
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
export LC_ALL=C.UTF-8 TZ=UTC
umask 022

# zig's linker and compiler, cargo-auditable, and the certificate authorities of the container image (Mozilla's list).
# Not a later zig: from 0.16 on its calloc for musl is its own and writes zeros into all it gives out. sled asks for
# much that it never touches, and the static programs took 27 MB more memory.
ZIGLANG_VERSION=0.15.2
ZIGBUILD_VERSION=0.24.0
AUDITABLE_VERSION=0.7.7
CERTIFI_VERSION=2026.10.18

say() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Compilers are told folders in lists that blanks divide, and some of those cannot be quoted.
for folder in "$ROOT" "$TOOLS" "$BUILD" "$CARGO_HOME"; do
    [[ $folder != *[[:space:]]* ]] || die "a folder with a blank in its name cannot be built in: $folder"
done

# of_source COMMAND...: git, of this source. It may be somebody else's: root makes images in a user's clone.
of_source() { git -c safe.directory="$ROOT" -C "$ROOT" "$@"; }

# The date of a release is that of its last commit, so that whoever builds it again gets the same bytes.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(of_source log -1 --format=%ct 2>/dev/null) ||
        die "no git history here: set SOURCE_DATE_EPOCH to the release's date in seconds"
fi
export SOURCE_DATE_EPOCH

VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml" | head -1)
[ -n "$VERSION" ] || die "Cargo.toml names no version"

# target_line NAME: sets NAME TRIPLE GLIBC LABEL from the table.
target_line() {
    local found
    found=$(awk -v name="$1" '$1 == name' "$CROSS/targets")
    [ -n "$found" ] || die "no target \`$1\`; there are: $(target_names | tr '\n' ' ')"
    read -r NAME TRIPLE GLIBC LABEL <<<"$found"
}

target_names() { awk '!/^#/ && NF { print $1 }' "$CROSS/targets"; }

# packed FILE: compresses it, the same bytes every time.
packed() { gzip -9 --no-name --force "$1"; }

# dated DIRECTORY: gives everything in it the release's date.
dated() { find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +; }

# checksums: SHA256SUMS of everything in $DIST, also of earlier runs.
checksums() {
    (cd "$DIST" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum >SHA256SUMS)
}
