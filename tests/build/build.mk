# azchan.h under other compilers, standards and machines; included by the Makefile, which defines CC,
# WARN, CFLAGS, BUILD, SANITIZE and need.
BUILD_DIR = tests/build
BUILD_OUT = $(BUILD)/drop-in

##   make check-warnings     check-lint, check-silent, check-orders and check-cpp
check-warnings: check-lint check-silent check-orders check-cpp

##   make check-silent       no warning of gcc, clang, g++, clang++ and tcc; one row: silent-0 to -13;
##                           LONG=1: each standard at every optimisation
SILENT = $(addprefix silent-,0 1 2 3 4 5 6 7 8 9 10 11 12 13)
$(SILENT): silent-%:
	$(call need,g++,g++)
	$(call need,clang,clang)
	@mkdir -p $(BUILD_OUT)/silent-$*
	@LONG=$(LONG) sh $(BUILD_DIR)/silent.sh $* $(BUILD_OUT)/silent-$*

# tcc has few warnings and ignores -std: what counts is that it compiles, and that the program runs.
silent-tcc:
	$(call need,tcc,tcc)
	@mkdir -p $(BUILD_OUT)
	@for flags in "" -DAZCHAN_USE_EPOLL -DAZCHAN_SMALL=1 -DAZCHAN_STATIC; do for part in 1 2; do \
	    tcc -Wall -Werror $$flags -DPART=$$part -c $(BUILD_DIR)/part.c \
	        -o $(BUILD_OUT)/tcc$$part.o || exit 1; done; \
	    tcc $(BUILD_OUT)/tcc1.o $(BUILD_OUT)/tcc2.o -o $(BUILD_OUT)/tcc && $(BUILD_OUT)/tcc || \
	    exit 1; done
	@echo "silent: tcc"

check-silent: $(SILENT) silent-tcc

##   make check-orders       compiles after each system header and each feature macro
check-orders:
	$(call need,clang++,clang)
	$(call need,musl-gcc,musl-tools)
	@sh $(BUILD_DIR)/orders.sh

##   make check-lint         lint-clang, lint-cppcheck, lint-alloc and lint-order; LONG=1: lint-gcc
# The analyzers read the header as a source file, so that they report on all of it.
check-lint: lint-clang lint-cppcheck lint-alloc lint-order $(if $(LONG),lint-gcc)

LINT = -DAZCHAN_IMPLEMENTATION -std=c99

# Each configuration takes minutes, so that check-lint has it with LONG=1 only.
lint-gcc:
	@mkdir -p $(BUILD_OUT)
	@for flags in "-O2 -DAZCHAN_USE_EPOLL" "-O0" "-O2 -DNDEBUG"; do \
	    gcc $(LINT) $$flags -Wall -Wextra -fanalyzer -Werror -x c -c azchan.h \
	        -o $(BUILD_OUT)/lint.o || exit 1; done
	@echo "lint: gcc -fanalyzer"

# The analysis of paths takes long and runs once; the other checks run with epoll as well. .clang-tidy
# lists the checks; where one is wrong about a line, the line is marked NOLINT with the reason.
lint-clang:
	$(call need,clang-tidy,clang-tidy)
	@clang-tidy --quiet azchan.h -- -x c $(LINT) 2>/dev/null
	@clang-tidy --quiet --checks=-clang-analyzer-* azchan.h -- -x c $(LINT) -DAZCHAN_USE_EPOLL \
	    2>/dev/null
	@echo "lint: clang-tidy"

# cppcheck reads no system headers: the macros that PLATFORM tests are defined here.
lint-cppcheck:
	$(call need,cppcheck,cppcheck)
	@for flags in "" -DAZCHAN_USE_EPOLL; do \
	    cppcheck -q --enable=warning,style,performance,portability --inconclusive --std=c99 \
	    --language=c --library=posix --suppressions-list=$(BUILD_DIR)/cppcheck --error-exitcode=1 \
	    -DAZCHAN_IMPLEMENTATION -DCLOCK_MONOTONIC=1 -DAF_UNIX=1 -DO_CLOEXEC=1 -D__linux__=1 \
	    -D__GNUC__=12 $$flags azchan.h || exit 1; done
	@echo "lint: cppcheck"

# Only the default allocator calls libc's, so that config.alloc receives every allocation. (That sizes
# and contexts are right is checked by tests/memory.h, with every server of every test.)
lint-alloc:
	@mkdir -p $(BUILD_OUT)
	@gcc $(LINT) -O0 -x c -c azchan.h -o $(BUILD_OUT)/alloc.o
	@objdump -dr $(BUILD_OUT)/alloc.o | awk '/^[0-9a-f]+ </ { where = $$2 } \
	    / R_.*[ \t](malloc|calloc|realloc|free|strn?dup|v?asprintf|getline|aligned_alloc)-/ { \
	        n++; if (where != "<azc__default_alloc>:") { bad = 1; print "lint: " where " " $$3 } } \
	    END { exit bad || n < 2 }'
	@echo "lint: allocations"

# No function calls one of a later section, and few #if are left inside functions.
lint-order:
	@awk -f $(BUILD_DIR)/order.awk azchan.h azchan.h
	@echo "lint: order of the sections"

##   make check-cpp          tests compiled as C++ by g++ and clang++; cpp-public
CPP_TESTS = bodies conn_callbacks conn_frames conn_rooms conn_sends json listen live loop rates_send \
    request_handshake request_pages server users
check-cpp: cpp-public
	$(call need,g++,g++)
	$(call need,clang++,clang)
	@$(MAKE) -s test BUILD=$(BUILD)/g++ CC=g++ CFLAGS=-O0 T="$(CPP_TESTS)" \
	    WARN="-x c++ -std=c++11 -Wall -Wextra -pedantic"
	@$(MAKE) -s test BUILD=$(BUILD)/clang++ CC=clang++ CFLAGS=-O0 \
	    T="$(if $(LONG),$(CPP_TESTS),conn_frames json live request_handshake)" \
	    WARN="-x c++ -std=c++20 -Wall -Wextra"

# What a C++ program includes and calls, without the implementation, has no warning of those that
# concern C++ alone. AZCHAN_IMPLEMENTED takes the implementation out of the example.
cpp-public:
	$(call need,g++,g++)
	$(call need,clang++,clang)
	@for cxx in "g++ -Wuseless-cast" clang++; do for part in "-x c++ -DPART=2 tests/build/part.c" \
	    "-std=c++17 -DAZCHAN_IMPLEMENTED examples/cpp.cpp"; do \
	    $$cxx -Wall -Wextra -Wold-style-cast -Wzero-as-null-pointer-constant -Wconversion \
	        -Werror -I. -fsyntax-only $$part || exit 1; done; done
	@echo "cpp: the public part"

##   make check-small        all tests with the code paths of -Os, under clang's sanitizers; LONG=1:
##                           at -Os as well, which machine-armel is always
check-small:
	@$(if $(LONG),$(MAKE) -s test BUILD=$(BUILD)/small CFLAGS=-Os TEST_RUN="env TEST_QUICK=1")
	$(call need,clang,clang)
	@$(MAKE) -s test BUILD=$(BUILD)/small-sanitize CC=clang TEST_RUN="env TEST_QUICK=1" \
	    CFLAGS="-O0 -g -DAZCHAN_SMALL=1 $(SANITIZE)"

##   make check-machines     all tests on armhf, and many on eight more, some under qemu; one:
##                           machine-s390x. LONG=1: all on i386, riscv64, s390x and musl, too
# Static, with a trap for unaligned access. TEST_QUICK, as under valgrind: every test, but with fewer
# of the faults, cuts and actions in it. The kernel of an x86-64 runs i386 and musl itself.
# _FILE_OFFSET_BITS: qemu passes the host's 64-bit directories on.
# Eight run only the tests in which byte order, width, alignment and system calls matter.
MACHINES = armhf s390x riscv64 i386 musl mips mipsel armel powerpc
CC_armhf = arm-linux-gnueabihf-gcc -mthumb $(if $(LONG),-Os,-O0 -DAZCHAN_SMALL=1) \
    -D_FILE_OFFSET_BITS=64
CC_s390x = s390x-linux-gnu-gcc -O0
CC_riscv64 = riscv64-linux-gnu-gcc -O0
CC_i386 = i686-linux-gnu-gcc $(if $(LONG),-Os,-O0) -D_FILE_OFFSET_BITS=64
CC_musl = musl-gcc -O0
CC_mips = mips-linux-gnu-gcc -O0 -D_FILE_OFFSET_BITS=64
CC_mipsel = mipsel-linux-gnu-gcc -Os -D_FILE_OFFSET_BITS=64
CC_armel = arm-linux-gnueabi-gcc -Os -D_FILE_OFFSET_BITS=64
CC_powerpc = powerpc-linux-gnu-gcc -O0 -D_FILE_OFFSET_BITS=64
NEEDS_armhf = gcc-arm-linux-gnueabihf
NEEDS_s390x = gcc-s390x-linux-gnu
NEEDS_riscv64 = gcc-riscv64-linux-gnu
NEEDS_i386 = gcc-i686-linux-gnu
NEEDS_musl = musl-tools
NEEDS_mips = gcc-mips-linux-gnu
NEEDS_mipsel = gcc-mipsel-linux-gnu
NEEDS_armel = gcc-arm-linux-gnueabi
NEEDS_powerpc = gcc-powerpc-linux-gnu
RUN_armhf = qemu-arm-static
RUN_s390x = qemu-s390x-static
RUN_riscv64 = qemu-riscv64-static
RUN_mips = qemu-mips-static
RUN_mipsel = qemu-mipsel-static
RUN_armel = qemu-arm-static
RUN_powerpc = qemu-ppc-static
FEW_TESTS = bytes buf fixed sha1_base64 utf8 frame http route json room conn_frames conn_rooms \
    history listen posts server system timers users
T_s390x = $(if $(LONG),,$(FEW_TESTS) bodies_framing all_fuzz)
T_i386 = $(if $(LONG),,$(FEW_TESTS))
T_riscv64 = $(if $(LONG),,$(FEW_TESTS))
T_musl = $(if $(LONG),,$(FEW_TESTS))
T_mips = $(FEW_TESTS)
T_mipsel = $(FEW_TESTS)
T_armel = $(FEW_TESTS)
T_powerpc = $(filter-out http,$(FEW_TESTS)) # its glibc's strchr reads a word beyond the NUL
TRAP = -g -fsanitize=alignment -fsanitize-undefined-trap-on-error

$(MACHINES:%=machine-%): machine-%:
	$(call need,$(firstword $(CC_$*)),$(NEEDS_$*))
	$(if $(RUN_$*),$(call need,$(RUN_$*),qemu-user-static))
	@mkdir -p $(BUILD)/machine-$*
	@$(MAKE) -s test BUILD=$(BUILD)/machine-$* CC="$(CC_$*)" LDFLAGS=-static \
	    CFLAGS="$(TRAP) -DTEST_STATIC" $(if $(T_$*),T="$(T_$*)") \
	    TEST_RUN="env TEST_QUICK=1 TEST_SECONDS=300 $(RUN_$*)" >$(BUILD)/machine-$*/log 2>&1 || \
	    { cat $(BUILD)/machine-$*/log; echo "$@: failed"; exit 1; }
	@echo "$@: $$(tail -1 $(BUILD)/machine-$*/log)"

check-machines: $(MACHINES:%=machine-%)

##   make size               bytes of code by section, of an echo, and of a chat with its memory
##   make check-size         the same within the limits of tests/build/size.sh and tests/build/sizes
##   make sizes              record the header's size in tests/build/sizes
size check-size sizes:
	$(call need,arm-linux-gnueabihf-gcc,gcc-arm-linux-gnueabihf)
	$(call need,musl-gcc,musl-tools)
	@sh $(BUILD_DIR)/size.sh $(BUILD_OUT)/size $(if $(filter check-size,$@),check) \
	    $(if $(filter sizes,$@),write)

check-azu:
	@CC="$(CC)" sh $(BUILD_DIR)/azu.sh $(BUILD_OUT)/azu

check-examples: examples
	@sh $(BUILD_DIR)/examples.sh $(BUILD) $(BUILD_OUT)/examples

##   make check-readme       the programs and commands of README.md; every snippet of examples/azu.md;
##                           check-examples: each example prints its address
check-readme: check-azu check-examples
	$(call need,arm-linux-gnueabihf-gcc,gcc-arm-linux-gnueabihf)
	$(call need,qemu-arm-static,qemu-user-static)
	$(call need,cmake,cmake)
	@sh $(BUILD_DIR)/readme.sh $(BUILD_OUT)/readme

.PHONY: check-warnings check-silent $(SILENT) silent-tcc check-orders check-lint lint-gcc \
    lint-clang lint-cppcheck lint-alloc lint-order check-cpp cpp-public check-small \
    check-machines $(MACHINES:%=machine-%) size check-size sizes check-azu \
    check-examples check-readme
