# What other people's compilers and machines make of azchan.h; included by the Makefile, which
# gives CC, WARN, CFLAGS, BUILD and need.
#
#     make check-warnings     what may complain; in parts:
#     make check-silent       gcc, clang, g++, clang++ and tcc, each standard and optimisation
#     make check-orders       behind each system header and feature macro
#     make check-lint         gcc -fanalyzer, clang-tidy, cppcheck, and who calls malloc
#     make check-cpp          tests compiled as C++, and run
#     make check-core         tests of the core alone, at -Os
#     make check-machines     every test on other machines, most under qemu; one: machine-s390x
#     make size | check-size  bytes of code by section, the chat's file and memory | within limits
#     make check-readme       the programs and commands of README.md; every snippet of examples/azu.md
BUILD_DIR = tests/build
BUILD_OUT = $(BUILD)/drop-in

check-warnings: check-lint check-silent check-orders check-cpp

SILENT = $(addprefix silent-,0 1 2 3 4 5 6 7 8 9 10 11 12 13)
$(SILENT): silent-%:
	$(call need,g++,g++)
	$(call need,clang,clang)
	@mkdir -p $(BUILD_OUT)/silent-$*
	@sh $(BUILD_DIR)/silent.sh $* $(BUILD_OUT)/silent-$*

# tcc has few warnings and no standards: what counts is that it compiles, and runs.
silent-tcc:
	$(call need,tcc,tcc)
	@mkdir -p $(BUILD_OUT)
	@for flags in "" -DAZCHAN_USE_EPOLL -DAZCHAN_CORE -DAZCHAN_STATIC; do for part in 1 2; do \
	    tcc -Wall -Werror $$flags -DPART=$$part -c $(BUILD_DIR)/part.c \
	        -o $(BUILD_OUT)/tcc$$part.o || exit 1; done; \
	    tcc $(BUILD_OUT)/tcc1.o $(BUILD_OUT)/tcc2.o -o $(BUILD_OUT)/tcc && $(BUILD_OUT)/tcc || \
	    exit 1; done
	@echo "silent: tcc"

check-silent: $(SILENT) silent-tcc

check-orders:
	$(call need,clang++,clang)
	$(call need,musl-gcc,musl-tools)
	@sh $(BUILD_DIR)/orders.sh

# The analyzers read the header as if it were a source file; so what they say is about all of it.
LINT = -DAZCHAN_IMPLEMENTATION -std=c99

lint-gcc:
	@mkdir -p $(BUILD_OUT)
	@for flags in "-O0" "-O2 -DAZCHAN_USE_EPOLL" "-O2 -DNDEBUG"; do \
	    gcc $(LINT) $$flags -Wall -Wextra -fanalyzer -Werror -x c -c azchan.h \
	        -o $(BUILD_OUT)/lint.o || exit 1; done
	@echo "lint: gcc -fanalyzer"

# The path analysis once, it takes a while; the rest for epoll as well. What to look for, and why not
# for the rest: .clang-tidy. What it misunderstands in a place is marked NOLINT there, with a reason.
lint-clang:
	$(call need,clang-tidy,clang-tidy)
	@clang-tidy --quiet azchan.h -- -x c $(LINT) 2>/dev/null
	@clang-tidy --quiet --checks=-clang-analyzer-* azchan.h -- -x c $(LINT) -DAZCHAN_USE_EPOLL \
	    2>/dev/null
	@echo "lint: clang-tidy"

# Reads no system headers: what PLATFORM asks about is said here.
lint-cppcheck:
	$(call need,cppcheck,cppcheck)
	@for flags in "" -DAZCHAN_USE_EPOLL; do \
	    cppcheck -q --enable=warning,style,performance,portability --inconclusive --std=c99 \
	    --language=c --library=posix --suppressions-list=$(BUILD_DIR)/cppcheck --error-exitcode=1 \
	    -DAZCHAN_IMPLEMENTATION -DCLOCK_MONOTONIC=1 -DAF_UNIX=1 -DO_CLOEXEC=1 -D__linux__=1 \
	    -D__GNUC__=12 $$flags azchan.h || exit 1; done
	@echo "lint: cppcheck"

# Whoever gives an allocator need not look further: nothing but the default one calls libc's. (That
# sizes and contexts are right is checked by tests/client.h, with every server of every test.)
lint-alloc:
	@mkdir -p $(BUILD_OUT)
	@gcc $(LINT) -O0 -x c -c azchan.h -o $(BUILD_OUT)/alloc.o
	@objdump -dr $(BUILD_OUT)/alloc.o | awk '/^[0-9a-f]+ </ { where = $$2 } \
	    / R_.*[ \t](malloc|calloc|realloc|free|strn?dup|v?asprintf|getline|aligned_alloc)-/ { \
	        n++; if (where != "<azc__default_alloc>:") { bad = 1; print "lint: " where " " $$3 } } \
	    END { exit bad || n < 2 }'
	@echo "lint: allocations"

check-lint: lint-clang lint-gcc lint-cppcheck lint-alloc

# What serves and is talked to, as C++ of both compilers.
CPP_TESTS = session handshake rooms pages json loop
check-cpp:
	$(call need,g++,g++)
	$(call need,clang++,clang)
	@$(MAKE) -s test BUILD=$(BUILD)/g++ CC=g++ CFLAGS=-O0 \
	    WARN="-x c++ -std=c++11 -Wall -Wextra -pedantic" \
	    TESTS="$(CPP_TESTS:%=$(BUILD)/g++/tests/test_%)"
	@$(MAKE) -s test BUILD=$(BUILD)/clang++ CC=clang++ CFLAGS=-O0 \
	    WARN="-x c++ -std=c++20 -Wall -Wextra" \
	    TESTS="$(CPP_TESTS:%=$(BUILD)/clang++/tests/test_%)"

# What is built where size counts: all tests that use nothing but the core.
CORE_TESTS = buf cuts fixed frame handshake http json life loop pages room rooms route session \
    sha1_base64 stats utf8
check-core:
	@$(MAKE) -s test BUILD=$(BUILD)/core CFLAGS="-Os -DAZCHAN_CORE" \
	    TEST_RUN="env TEST_QUICK=1" \
	    TESTS="$(CORE_TESTS:%=$(BUILD)/core/tests/test_%)"

# Every test program on each machine, static, with a trap for unaligned access. TEST_QUICK, as under
# valgrind: no test less, but fewer of the faults, cuts and deeds within. The kernel of an x86-64 runs
# i386 and musl itself. _FILE_OFFSET_BITS: qemu hands the host's 64-bit directories on.
MACHINES = armhf s390x riscv64 i386 musl
CC_armhf = arm-linux-gnueabihf-gcc -mthumb -Os -D_FILE_OFFSET_BITS=64
CC_s390x = s390x-linux-gnu-gcc -O0
CC_riscv64 = riscv64-linux-gnu-gcc -O0
CC_i386 = i686-linux-gnu-gcc -Os -D_FILE_OFFSET_BITS=64
CC_musl = musl-gcc -O0
NEEDS_armhf = gcc-arm-linux-gnueabihf
NEEDS_s390x = gcc-s390x-linux-gnu
NEEDS_riscv64 = gcc-riscv64-linux-gnu
NEEDS_i386 = gcc-i686-linux-gnu
NEEDS_musl = musl-tools
RUN_armhf = qemu-arm-static
RUN_s390x = qemu-s390x-static
RUN_riscv64 = qemu-riscv64-static
TRAP = -g -fsanitize=alignment -fsanitize-undefined-trap-on-error

$(MACHINES:%=machine-%): machine-%:
	$(call need,$(firstword $(CC_$*)),$(NEEDS_$*))
	$(if $(RUN_$*),$(call need,$(RUN_$*),qemu-user-static))
	@mkdir -p $(BUILD)/machine-$*
	@$(MAKE) -s test BUILD=$(BUILD)/machine-$* CC="$(CC_$*)" LDFLAGS=-static \
	    CFLAGS="$(TRAP) -DTEST_STATIC" \
	    TEST_RUN="env TEST_QUICK=1 TEST_SECONDS=300 $(RUN_$*)" >$(BUILD)/machine-$*/log 2>&1 || \
	    { cat $(BUILD)/machine-$*/log; echo "$@: failed"; exit 1; }
	@echo "$@: $$(tail -1 $(BUILD)/machine-$*/log)"

check-machines: $(MACHINES:%=machine-%)

size check-size:
	$(call need,arm-linux-gnueabihf-gcc,gcc-arm-linux-gnueabihf)
	$(call need,musl-gcc,musl-tools)
	@sh $(BUILD_DIR)/size.sh $(BUILD_OUT)/size $(filter check,$(subst -, ,$@))

check-azu:
	@CC="$(CC)" sh $(BUILD_DIR)/azu.sh $(BUILD_OUT)/azu

check-readme: check-azu
	$(call need,arm-linux-gnueabihf-gcc,gcc-arm-linux-gnueabihf)
	$(call need,qemu-arm-static,qemu-user-static)
	$(call need,cmake,cmake)
	@sh $(BUILD_DIR)/readme.sh $(BUILD_OUT)/readme

.PHONY: check-warnings check-silent $(SILENT) silent-tcc check-orders check-lint lint-gcc \
    lint-clang lint-cppcheck lint-alloc check-cpp check-core check-machines \
    $(MACHINES:%=machine-%) size check-size check-azu check-readme
