# `make help` lists the targets. CC, CFLAGS, LDFLAGS and BUILD (the output folder) are honoured.
CC ?= cc
BUILD ?= build
WARN = -std=c99 -Wall -Wextra -pedantic

# Tests compile five times as fast without optimisation; CFLAGS, if given, applies to everything.
ifeq ($(origin CFLAGS),undefined)
CFLAGS = -O2 -g
TEST_CFLAGS = -O0 -g
else
TEST_CFLAGS = $(CFLAGS)
endif

EXAMPLES = $(patsubst examples/%.c,$(BUILD)/%,$(wildcard examples/*.c)) $(BUILD)/cpp

# T=room selects tests/test_room.c, and T='conn_*' all tests of CONN.
T = *
TESTS = $(foreach t,$(T),$(or $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard \
    tests/test_$(t).c)),$(error T=$(t): there is no tests/test_$(t).c)))

all: examples

##   make help               list the targets
help:
	@sed -n 's/^##//p' $(MAKEFILE_LIST)

##   make                    build the examples
examples: $(EXAMPLES)

$(BUILD)/%: examples/%.c examples/*.h azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) -I. $< -o $@ $(LDFLAGS)

$(BUILD)/cpp: examples/cpp.cpp azchan.h
	@mkdir -p $(@D)
	@command -v $(firstword $(CXX)) >/dev/null || echo "$@: skipped: there is no $(CXX)"
	$(if $(shell command -v $(firstword $(CXX))),$(CXX) -std=c++17 -Wall -Wextra $(CFLAGS) -I. $< \
	    -o $@ $(LDFLAGS))

# The pages of the examples as C arrays: examples/pages/NAME.html becomes examples/NAME_page.h.
PAGES = $(sort $(patsubst examples/pages/%.html,%,$(wildcard examples/pages/*.html)) \
    $(patsubst examples/%_page.h,%,$(wildcard examples/*_page.h)))
PAGE_HEADER = od -An -v -tu1 examples/pages/$$page.html | \
    awk -v name=$${page}_page -f examples/pages/page.awk

# The page's scripts, examples/pages/azchan.js and azlive.js, are in azchan.h.
SCRIPT = -f examples/pages/client.awk examples/pages
CLIENT_HEADER = awk -v name=client $(SCRIPT)/azchan.js azchan.h | awk -v name=live $(SCRIPT)/azlive.js -

##   make pages              write examples/*_page.h from examples/pages/*.html, both scripts into azchan.h
pages:
	@for page in $(PAGES); do $(PAGE_HEADER) >examples/$${page}_page.h || exit 1; done
	@mkdir -p $(BUILD)
	@$(CLIENT_HEADER) >$(BUILD)/azchan.h.new && cat $(BUILD)/azchan.h.new >azchan.h

##   make check-pages        fail if `make pages` would change a header
check-pages:
	@for page in $(PAGES); do $(PAGE_HEADER) | cmp -s - examples/$${page}_page.h || \
	    { echo "check-pages: examples/$${page}_page.h is stale: run make pages"; exit 1; }; done
	@$(CLIENT_HEADER) | cmp -s - azchan.h || \
	    { echo "check-pages: a script in azchan.h is stale: run make pages"; exit 1; }

check: check-pages
.PHONY: pages check-pages

$(BUILD)/tests/%: tests/%.c tests/*.h azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(TEST_CFLAGS) -I. $< -o $@ -lpthread $(LDFLAGS)

$(BUILD)/jobs $(BUILD)/threads: LDFLAGS += -lpthread
$(BUILD)/own_loop: LDFLAGS += -lm

# As programs that want fast arithmetic are compiled.
$(BUILD)/tests/test_json_fast: TEST_CFLAGS += -O2 -ffast-math

$(BUILD)/tests/test_all_dashboard $(BUILD)/tests/test_all_serial: $(BUILD)/tests/test_all_%: \
    examples/%.c examples/%_page.h
$(BUILD)/tests/test_all_fuzz: $(wildcard tests/fuzz/*.[ch])

##   make run                start the chat example; PORT=4001, PORT=0.0.0.0:4000, PORT=unix:/path
run: $(BUILD)/chat
	$(BUILD)/chat $(PORT)

##   make test               run all tests; needs only cc and make. -j2 compiles two at a time
##   make test T=room        run tests/test_room.c alone; T='conn_*' runs several
test: $(TESTS)
	@TEST_RUN="$(TEST_RUN)" sh tests/run.sh $(TESTS)

##   make check              run everything below, except what takes hours or writes figures
# Nothing is installed: what is missing is named. Checks that measure time come last.
check:
	@$(MAKE) -s -j3 check-valgrind check-sanitize check-machines check-epoll coverage check-fuzz \
	    check-model check-small check-warnings check-fixed check-speed check-size check-readme
	@$(MAKE) -s -j2 check-interop check-net
	@$(MAKE) -s check-attacks
	@$(MAKE) -s check-soak

need = @command -v $(1) >/dev/null || { echo "$@: $(1) is missing: install $(2)"; exit 1; }

SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all

##   make check-sanitize     all tests with AddressSanitizer and UBSan; threads with ThreadSanitizer
check-sanitize:
	@$(MAKE) -s test BUILD=$(BUILD)/sanitize CFLAGS="-O0 -g $(SANITIZE)"
	@$(MAKE) -s test BUILD=$(BUILD)/thread CFLAGS="-O1 -g -fsanitize=thread" \
	    T="loop posts signals all_threads"

##   make check-valgrind     the tests of each section with valgrind; LONG=1: test_all_*.c, too
SECTION_TESTS = $(filter-out all_%,$(patsubst tests/test_%.c,%,$(wildcard tests/test_*.c)))
check-valgrind:
	$(call need,valgrind,valgrind)
	@$(MAKE) -s test BUILD=$(BUILD)/valgrind CFLAGS="-O1 -g" TEST_RUN="env TEST_QUICK=1 \
	    TEST_SECONDS=300 valgrind -q --error-exitcode=9 --leak-check=full" \
	    $(if $(LONG),,T="$(SECTION_TESTS)")

##   make check-faults       all failures that make test samples: each system call with each error
check-faults:
	@TEST_FULL=1 TEST_SECONDS=3000 $(MAKE) -s test BUILD=$(BUILD)/full CFLAGS="-O1 -g $(SANITIZE)" \
	    T="all_memory all_system all_torture"

##   make check-epoll        all tests with AZCHAN_USE_EPOLL (Linux)
check-epoll:
	@$(MAKE) -s test BUILD=$(BUILD)/epoll CFLAGS="-O0 -g -DAZCHAN_USE_EPOLL" \
	    $(if $(LONG),,TEST_RUN="env TEST_QUICK=1")

##   make check-long         hours: check-faults, check-slow, ten million runs of each fuzzer, a soak;
##                           with LONG=1 check-warnings, check-small, check-valgrind, check-epoll,
##                           five of check-machines, and pages that are away for a minute
check-long: examples $(BUILD)/client_server
	@$(MAKE) -s check-warnings check-small check-valgrind check-epoll \
	    $(addprefix machine-,i386 armhf riscv64 s390x musl) LONG=1
	@$(MAKE) -s check-faults
	@$(MAKE) -s fuzz RUNS=$(or $(RUNS),10000000)
	@$(MAKE) -s check-slow
	@cd tests/interop && BUILD=$(abspath $(BUILD)) LONG=1 node client_browsers.mjs
	@$(MAKE) -s soak SECONDS=$(or $(SECONDS),3600)

##   make check-fixed        fixed memory against a random program, SECONDS=60
check-fixed:
	@FIXED_SECONDS=$(or $(SECONDS),60) nice $(MAKE) -s test BUILD=$(BUILD)/random \
	    CFLAGS="-O2 -g" T=fixed

##   make coverage           lines (98 %) and branches (95 %) of azchan.h that make test runs
# Each line that it does not run must be in tests/uncovered, with the reason. test_json_fast is left
# out: it is optimised, and gcovr cannot match its branches with the others'.
coverage:
	$(call need,gcovr,gcovr)
	@rm -rf $(BUILD)/coverage && mkdir -p $(BUILD)
	@$(MAKE) -s test BUILD=$(abspath $(BUILD))/coverage \
	    CFLAGS="-O0 --coverage -fprofile-abs-path -fprofile-update=atomic -DNDEBUG" \
	    >$(abspath $(BUILD))/coverage.log || { grep -A8 ^FAIL $(BUILD)/coverage.log; exit 1; }
	@rm $(BUILD)/coverage/tests/test_json_fast.gc*
	@cd $(BUILD)/coverage && gcovr -r $(CURDIR) -f $(CURDIR)/azchan.h . >lines && \
	    gcovr -r $(CURDIR) -f $(CURDIR)/azchan.h --branches --exclude-throw-branches \
	    --fail-under-line 98 --fail-under-branch 95 . >branches; \
	    status=$$?; grep -h azchan.h lines branches; exit $$status
	@awk -f tests/uncovered.awk $(BUILD)/coverage/lines azchan.h tests/uncovered

##   make check-interop      Node's ws client; both scripts and the examples' pages in both browsers
check-interop: examples $(BUILD)/client_server $(BUILD)/live_server check-script
	$(call need,node,nodejs)
	cd tests/interop && for script in ws client client_browsers live browser pages serial axe \
	    firefox; do \
	    BUILD=$(abspath $(BUILD)) node $$script.mjs || exit 1; done

$(BUILD)/client_server $(BUILD)/live_server: $(BUILD)/%: tests/interop/%.c azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) -I. $< -o $@ $(LDFLAGS)

##   make check-script       bytes of azchan.js after npm's terser, at most 2560; of azlive.js, 2048;
##                           and their types
check-script:
	$(call need,node,nodejs)
	@cd tests/interop && node size.mjs
	cd tests/interop && npx --no-install tsc --noEmit --strict --skipLibCheck --target es2022 \
	    --lib es2022,dom types.ts
.PHONY: check-script

include tests/attack/attack.mk tests/bench/bench.mk tests/build/build.mk tests/fuzz/fuzz.mk \
    tests/model/model.mk tests/net/net.mk

##   make clean              delete the output folder
clean:
	rm -rf $(BUILD)

.PHONY: all help examples run test check check-epoll check-sanitize check-valgrind \
    check-interop check-fixed check-faults check-long coverage clean
