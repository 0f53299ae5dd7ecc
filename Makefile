# make run | test | examples | check | bench | size | clean; see README.md.
# CC, CFLAGS, LDFLAGS and BUILD (the output folder) are honoured.
CC ?= cc
CFLAGS ?= -O2 -g
BUILD ?= build
WARN = -std=c99 -Wall -Wextra -pedantic

EXAMPLES = $(patsubst examples/%.c,$(BUILD)/%,$(wildcard examples/*.c))
TESTS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))

all: examples

examples: $(EXAMPLES)

$(BUILD)/%: examples/%.c examples/*.h azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) -I. $< -o $@ $(LDFLAGS)

# The pages of the examples as C arrays: examples/pages/NAME.html becomes examples/NAME_page.h.
PAGES = $(sort $(patsubst examples/pages/%.html,%,$(wildcard examples/pages/*.html)) \
    $(patsubst examples/%_page.h,%,$(wildcard examples/*_page.h)))
PAGE_HEADER = od -An -v -tu1 examples/pages/$$page.html | \
    awk -v name=$${page}_page -f examples/pages/page.awk

##   make pages              write examples/*_page.h from examples/pages/*.html
pages:
	@for page in $(PAGES); do $(PAGE_HEADER) >examples/$${page}_page.h || exit 1; done

##   make check-pages        fail if `make pages` would change a header
check-pages:
	@for page in $(PAGES); do $(PAGE_HEADER) | cmp -s - examples/$${page}_page.h || \
	    { echo "check-pages: examples/$${page}_page.h is stale: run make pages"; exit 1; }; done

check: check-pages
.PHONY: pages check-pages

$(BUILD)/tests/%: tests/%.c tests/*.h azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) -I. $< -o $@ -lpthread $(LDFLAGS)

$(BUILD)/jobs: LDFLAGS += -lpthread
$(BUILD)/own_loop: LDFLAGS += -lm

$(BUILD)/tests/test_dashboard: examples/dashboard.c examples/dashboard_page.h

run: $(BUILD)/chat
	$(BUILD)/chat

# Each program tells its own count; the sum is the last line.
test: $(TESTS)
	@for t in $(TESTS); do $(TEST_RUN) $$t; done >$(BUILD)/tests/log; cat $(BUILD)/tests/log
	@awk '/: [0-9]+ passed, [0-9]+ failed$$/ { p += $$2; f += $$4; n++ } \
	    END { f += $(words $(TESTS)) - n; print p + 0 " passed, " f " failed"; exit f > 0 }' \
	    $(BUILD)/tests/log

# What needs more than cc and make. Nothing is installed here: what is missing is named. First what
# may share the machine, then what keeps time; check-fixed takes what that leaves.
check:
	@$(MAKE) -s -j3 check-valgrind check-sanitize check-machines check-epoll coverage check-fuzz \
	    check-core check-warnings check-speed check-size check-readme
	@$(MAKE) -s -j2 check-interop check-fixed
	@$(MAKE) -s check-net
	@$(MAKE) -s check-attacks
	@$(MAKE) -s check-soak

need = @command -v $(1) >/dev/null || { echo "$@: $(1) is missing: install $(2)"; exit 1; }

check-sanitize:
	@$(MAKE) -s test BUILD=$(BUILD)/sanitize \
	    CFLAGS="-O0 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
	@$(MAKE) -s $(addprefix $(BUILD)/thread/tests/test_,loop post) BUILD=$(BUILD)/thread \
	    CFLAGS="-O1 -g -fsanitize=thread"
	$(BUILD)/thread/tests/test_loop
	$(BUILD)/thread/tests/test_post

check-valgrind: $(TESTS)
	$(call need,valgrind,valgrind)
	@$(MAKE) -s test TEST_RUN="env TEST_QUICK=1 TEST_SECONDS=300 \
	    valgrind -q --error-exitcode=9 --leak-check=full"

# All of what make test samples: each system call with each error, each deed after each. Minutes.
check-faults:
	@$(MAKE) -s $(addprefix $(BUILD)/full/tests/test_,faults sysfaults torture) BUILD=$(BUILD)/full \
	    CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
	@for t in faults sysfaults torture; do \
	    TEST_FULL=1 TEST_SECONDS=3000 $(BUILD)/full/tests/test_$$t || exit 1; done

# Linux: every test on the epoll build too.
check-epoll:
	@$(MAKE) -s test BUILD=$(BUILD)/epoll CFLAGS="-O1 -g -DAZCHAN_USE_EPOLL"

# The adversary of fixed memory, for longer than make test has.
check-fixed: $(BUILD)/tests/test_fixed
	FIXED_SECONDS=$(or $(SECONDS),120) nice $(BUILD)/tests/test_fixed

# Lines (at least 98%) and branches (95%) of azchan.h that make test runs. A line that it leaves is
# named in tests/uncovered with its reason, or this fails.
coverage:
	$(call need,gcovr,gcovr)
	@rm -rf $(BUILD)/coverage
	@$(MAKE) -s test BUILD=$(abspath $(BUILD))/coverage \
	    CFLAGS="-O0 --coverage -fprofile-abs-path -fprofile-update=atomic -DNDEBUG" >/dev/null
	@cd $(BUILD)/coverage && gcovr -r $(CURDIR) -f $(CURDIR)/azchan.h . >lines && \
	    gcovr -r $(CURDIR) -f $(CURDIR)/azchan.h --branches --exclude-throw-branches \
	    --fail-under-line 98 --fail-under-branch 95 . >branches; \
	    status=$$?; grep -h azchan.h lines branches; exit $$status
	@awk -f tests/uncovered.awk $(BUILD)/coverage/lines azchan.h tests/uncovered

check-interop: examples
	$(call need,node,nodejs)
	cd tests/interop && for script in ws browser pages; do \
	    BUILD=$(abspath $(BUILD)) node $$script.mjs || exit 1; done

-include tests/attack/attack.mk tests/bench/bench.mk tests/build/build.mk tests/fuzz/fuzz.mk \
    tests/net/net.mk

clean:
	rm -rf $(BUILD)

.PHONY: all examples run test check check-epoll check-sanitize check-valgrind \
    check-interop check-fixed check-faults coverage clean
