# SPDX-License-Identifier: Apache-2.0
# The targets a newcomer needs. Each is safe to repeat; `make setup` installs, the others only build and run.
WITH_TORCH ?= ON
PRESET ?= $(if $(filter ON,$(WITH_TORCH)),release,no-torch)
BUILD := build/$(PRESET)
FORGE := $(BUILD)/forge

.PHONY: all setup build test demo bench format format-check clean
all: build

setup:
	@FORGE_WITH_TORCH=$(WITH_TORCH) scripts/setup.sh

build: setup
	@mkdir -p build; cmake --preset $(PRESET) $(CMAKE_FLAGS) >$(BUILD).configure.log 2>&1 || { cat $(BUILD).configure.log; exit 1; }
	@cmake --build $(BUILD)

test: build
	@ctest --test-dir $(BUILD) --output-on-failure -j2

demo: build
	@scripts/demo.sh $(FORGE)

bench:
	@$(MAKE) --no-print-directory build PRESET=bench
	@for program in build/bench/forge_*_bench; do echo "== $$program"; $$program || exit 1; done

format:
	@clang-format -i $$(git ls-files '*.cc' '*.h')

format-check:
	@clang-format --dry-run -Werror $$(git ls-files '*.cc' '*.h')

clean:
	@rm -rf build
