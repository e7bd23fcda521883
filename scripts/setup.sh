#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what forge is built with: Debian packages, and from their Python wheels into .deps libtorch 2.13.0 (CPU) and
# Arrow 26.0.1 (Parquet files). Idempotent; needs no network when everything is there. FORGE_WITH_TORCH=OFF and
# FORGE_WITH_PARQUET=OFF leave one out. FORGE_WITH_MPI=ON installs Open MPI too, for workers that mpirun starts; the
# build takes whatever MPI it finds.
set -eu
cd "$(dirname "$0")/.."

PACKAGES="g++ cmake ninja-build ccache mold pkg-config libcli11-dev nlohmann-json3-dev libfmt-dev libsqlite3-dev
libyaml-cpp-dev libeigen3-dev libgtest-dev libgmock-dev libbenchmark-dev libssl-dev libpcre2-dev libutf8proc-dev libcpp-httplib-dev
libcurl4-openssl-dev ca-certificates zlib1g-dev libbz2-dev bubblewrap clang-format clang libclang-rt-14-dev"
[ "${FORGE_WITH_MPI:-OFF}" != ON ] || PACKAGES="$PACKAGES libopenmpi-dev openmpi-bin"
TORCH_VERSION=2.13.0
ARROW_VERSION=26.0.1

fail() { # what, why, fix
  printf 'error: %s\n  why: %s\n  fix: %s\n' "$1" "$2" "$3" >&2
  exit 4
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else fail "cannot install packages" "this user is not root and there is no sudo" "run as root: apt-get install $*"
  fi
}

missing=""
for package in $PACKAGES; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing="$missing $package"
done
wants_torch=no wants_arrow=no
[ "${FORGE_WITH_TORCH:-ON}" != ON ] || [ -e .deps/torch/lib/libtorch_cpu.so ] || wants_torch=yes
[ "${FORGE_WITH_PARQUET:-ON}" != ON ] || [ -e .deps/arrow/lib/libparquet.so ] || wants_arrow=yes
if [ $wants_torch = yes ] || [ $wants_arrow = yes ]; then
  command -v python3 >/dev/null 2>&1 || missing="$missing python3"
  python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
fi
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null 2>&1 ||
    fail "cannot install$missing" "there is no apt-get here" "install these packages by hand (names are Debian 12's)"
  echo "setup: installing Debian packages:$missing"
  as_root apt-get update -q >/dev/null || fail "apt-get update failed" "see the lines above" "check the network and /etc/apt/sources.list"
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >/dev/null ||
    fail "apt-get could not install$missing" "see the lines above" "check the network and /etc/apt/sources.list"
fi

if [ $wants_torch = yes ]; then
  echo "setup: fetching libtorch $TORCH_VERSION (CPU, from its Python wheel, 190 MB) into .deps/torch (520 MB)"
  mkdir -p .deps/download
  python3 -m pip download -q --no-deps --retries 0 --timeout 5 --only-binary :all: -d .deps/download \
    --extra-index-url https://download.pytorch.org/whl/cpu "torch==$TORCH_VERSION" ||
    fail "cannot download torch==$TORCH_VERSION" "pip's message is above" \
      "check the network; or build without training: make test WITH_TORCH=OFF"
  wheel=$(ls .deps/download/torch-"$TORCH_VERSION"*.whl | head -1)
  rm -rf .deps/torch.partial
  python3 - "$wheel" .deps/torch.partial <<'PYTHON'
import os, sys, zipfile
wheel, target = sys.argv[1], sys.argv[2]
skip = ("libtorch_python", "jitbackend", "libtorchbind", "libbackend_with", "libaoti_custom")
with zipfile.ZipFile(wheel) as archive:
    names = archive.namelist()
    if any(name.endswith("libtorch_cuda.so") for name in names):
        sys.exit("error: pip chose a CUDA build of torch\n  why: its CUDA libraries are separate packages and would be missing\n"
                 "  fix: make https://download.pytorch.org/whl/cpu reachable, or give FORGE_TORCH_DIR")
    for name in names:
        if name.startswith(("torch/lib/", "torch/include/")) and not any(word in name for word in skip):
            path = os.path.join(target, name[len("torch/"):])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(name) as source, open(path, "wb") as out:
                while block := source.read(1 << 20):
                    out.write(block)
PYTHON
  sync .deps/torch.partial
  rm -rf .deps/torch
  mv .deps/torch.partial .deps/torch
  rm -rf .deps/download
fi
if [ $wants_arrow = yes ]; then
  echo "setup: fetching Arrow $ARROW_VERSION (from pyarrow's wheel, 55 MB) into .deps/arrow (68 MB)"
  mkdir -p .deps/download
  if python3 -m pip download -q --no-deps --retries 0 --timeout 5 --only-binary :all: -d .deps/download "pyarrow==$ARROW_VERSION"; then
    rm -rf .deps/arrow.partial
    python3 - "$(ls .deps/download/pyarrow-"$ARROW_VERSION"*.whl | head -1)" .deps/arrow.partial <<'PYTHON'
import os, re, sys, zipfile
wheel, target = sys.argv[1], sys.argv[2]
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        library = re.fullmatch(r"pyarrow/((lib(?:arrow|parquet))\.so\.\d+)", name)
        if name.endswith("/") or not library and not name.startswith(("pyarrow/include/arrow/", "pyarrow/include/parquet/")):
            continue
        path = os.path.join(target, "lib/" + library[1] if library else name[len("pyarrow/"):])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with archive.open(name) as source, open(path, "wb") as out:
            while block := source.read(1 << 20):
                out.write(block)
        if library:
            os.symlink(library[1], os.path.join(target, "lib", library[2] + ".so"))
PYTHON
    sync .deps/arrow.partial
    rm -rf .deps/arrow
    mv .deps/arrow.partial .deps/arrow
  else
    # Only `forge data pull` of Parquet files needs it, and says so.
    echo "setup: pyarrow $ARROW_VERSION could not be downloaded (pip's message is above); going on without Parquet" >&2
  fi
  rm -rf .deps/download
fi
echo "setup: everything is here"
