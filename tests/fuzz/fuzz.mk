# Fuzzing, included by the Makefile. An input that breaks a property is left in $(BUILD)/fuzz as
# crash-TARGET-*; tests/README.md explains how to read it.
FUZZ ?= http conn json writer route utf8 body files
FUZZ_FLAGS = -std=c99 -Wall -Wextra -O1 -g -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=all
# Without it conn is three times as fast; the seeds contain the words that it would find.
FUZZ_FLAGS_conn = -fno-sanitize-coverage=trace-cmp
FUZZ_RUN = ASAN_OPTIONS=quarantine_size_mb=32:malloc_context_size=8
FUZZ_LEN_http = 600
FUZZ_LEN_conn = 500
FUZZ_LEN_json = 1000
FUZZ_LEN_writer = 300
FUZZ_LEN_route = 200
FUZZ_LEN_utf8 = 96
FUZZ_LEN_body = 400
FUZZ_LEN_files = 120

need-fuzzer:
	@command -v clang >/dev/null || { echo "fuzz: clang is missing: install clang"; exit 1; }
	@mkdir -p $(BUILD)/fuzz
	@echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return !p && n; }' | \
	    clang -fsanitize=fuzzer,address,undefined -x c - -o $(BUILD)/fuzz/probe \
	    2>$(BUILD)/fuzz/probe.log || { cat $(BUILD)/fuzz/probe.log; \
	    echo "fuzz: clang's fuzzer runtime is missing: install libclang-rt-dev"; exit 1; }

$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h azchan.h | need-fuzzer
	@mkdir -p $(@D)
	clang $(FUZZ_FLAGS) $(FUZZ_FLAGS_$*) $< -o $@

$(BUILD)/fuzz/pack $(BUILD)/fuzz/json_accept: $(BUILD)/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.h \
    tests/fuzz/fuzz_json.c azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

##   make fuzz SECONDS=30    fuzz each target, from its seeds and corpus; FUZZ="http json": only these
# Inputs found by earlier runs of this build stay in its folder, and the next run starts from them.
$(FUZZ:%=fuzz-%): fuzz-%: $(BUILD)/fuzz/fuzz_% $(BUILD)/fuzz/pack
	@mkdir -p $(BUILD)/fuzz/found/$*
	@$(BUILD)/fuzz/pack -x tests/fuzz/corpus/$*.pack $(BUILD)/fuzz/found/$*
	@$(FUZZ_RUN) $< $(if $(RUNS),-runs=$(RUNS),-max_total_time=$(or $(SECONDS),30)) -max_len=$(FUZZ_LEN_$*) -timeout=20 \
	    -print_final_stats=1 -artifact_prefix=$(BUILD)/fuzz/crash-$*- \
	    $(BUILD)/fuzz/found/$* tests/fuzz/seeds/$* >$(BUILD)/fuzz/$*.log 2>&1 || \
	    { tail -40 $(BUILD)/fuzz/$*.log; echo "fuzz $*: FAILED: $(BUILD)/fuzz/crash-$*-*"; exit 1; }
	@sed -n 's/^stat::number_of_executed_units: */fuzz $*: nothing found, executions: /p' \
	    $(BUILD)/fuzz/$*.log

fuzz: $(FUZZ:%=fuzz-%)

##   make fuzz-corpus        keep the smallest inputs with the same coverage in tests/fuzz/corpus
$(FUZZ:%=fuzz-corpus-%): fuzz-corpus-%: $(BUILD)/fuzz/fuzz_% $(BUILD)/fuzz/pack
	@rm -rf $(BUILD)/fuzz/merged/$* && mkdir -p $(BUILD)/fuzz/merged/$* $(BUILD)/fuzz/found/$*
	@$(FUZZ_RUN) $< -merge=1 -max_len=$(FUZZ_LEN_$*) $(BUILD)/fuzz/merged/$* \
	    tests/fuzz/seeds/$* $(BUILD)/fuzz/found/$* >$(BUILD)/fuzz/$*.log 2>&1
	@$(BUILD)/fuzz/pack tests/fuzz/corpus/$*.pack $(BUILD)/fuzz/merged/$*
	@ls -l tests/fuzz/corpus/$*.pack

fuzz-corpus: $(FUZZ:%=fuzz-corpus-%)

check-json-node: $(BUILD)/fuzz/json_accept
	@command -v node >/dev/null || { echo "$@: node is missing: install nodejs"; exit 1; }
	@node tests/fuzz/json_node.mjs $(BUILD)/fuzz/json_accept $(or $(DOCUMENTS),200000)

##   make check-fuzz         fuzz each target for 10 seconds; the JSON reader against JSON.parse of Node
check-fuzz: check-json-node
	@$(MAKE) -s fuzz SECONDS=$(or $(SECONDS),10)

.PHONY: need-fuzzer fuzz fuzz-corpus check-fuzz check-json-node $(FUZZ:%=fuzz-%) \
    $(FUZZ:%=fuzz-corpus-%)
