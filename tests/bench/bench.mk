# Measurements, included by the Makefile, which defines CC, WARN, CFLAGS, LDFLAGS and BUILD.
BENCH = tests/bench
BENCH_OUT = $(BUILD)/bench
BENCH_LOAD = $(BENCH)/load.h $(BENCH)/count.h
BENCH_CC = $(CC) $(WARN) $(CFLAGS)

$(BENCH_OUT)/%: $(BENCH)/%.c $(BENCH_LOAD) azchan.h $(BENCH)/bench.mk
	@mkdir -p $(@D)
	$(BENCH_CC) $< -o $@ $(LDFLAGS)

$(BENCH_OUT)/server_epoll: $(BENCH)/server.c azchan.h $(BENCH)/bench.mk
	@mkdir -p $(@D)
	@if grep -q AZCHAN_USE_EPOLL azchan.h; then set -x; \
	    $(BENCH_CC) -DAZCHAN_USE_EPOLL $< -o $@ $(LDFLAGS); fi

$(BENCH_OUT)/floor_uring: $(BENCH)/floor_uring.c $(BENCH)/floor.c azchan.h $(BENCH)/bench.mk
	@mkdir -p $(@D)
	$(BENCH_CC) -Wno-unused-function $< -o $@ $(LDFLAGS)

$(BENCH_OUT)/peer_lws: $(BENCH)/peer_lws.c $(BENCH)/bench.mk
	@mkdir -p $(@D)
	@if pkg-config --exists libwebsockets 2>/dev/null; then set -x; \
	    $(BENCH_CC) $$(pkg-config --cflags libwebsockets) $< -o $@ $(LDFLAGS) \
	    $$(pkg-config --libs libwebsockets); fi

$(BENCH_OUT)/arena: $(BENCH)/httparena/main.c azchan.h
	@mkdir -p $(@D)
	$(BENCH_CC) -I. $< -o $@ -lpthread $(LDFLAGS)

##   make bench QUICK=1      azchan.h beside the floor and its peers: a table and bench.svg; CORES=1
# npm ci in tests/bench and tests/interop installs two of the peers.
bench: $(addprefix $(BENCH_OUT)/,bench draw floor server server_epoll ops peer_lws arena)
	$(BENCH_OUT)/bench --dir $(BENCH_OUT) --peers $(BENCH) \
	    $(if $(QUICK),--quick) $(if $(filter 1,$(CORES)),--one-core)
	$(BENCH_OUT)/draw <$(BENCH_OUT)/results >$(BENCH_OUT)/bench.svg
	$(if $(QUICK)$(CORES),,cp $(BENCH_OUT)/bench.svg $(BENCH)/bench.svg)

##   make bench-fan          rooms of 10 to 10,000 beside the floor and bun: a table
bench-fan: $(addprefix $(BENCH_OUT)/,bench floor server server_epoll)
	$(BENCH_OUT)/bench --dir $(BENCH_OUT) --peers $(BENCH) --fan $(if $(QUICK),--quick)

##   make bench-uring        the floor over io_uring beside epoll's; Linux 6.1
bench-uring: $(addprefix $(BENCH_OUT)/,bench floor floor_uring server server_epoll)
	$(BENCH_OUT)/bench --dir $(BENCH_OUT) --peers $(BENCH) --uring $(if $(QUICK),--quick)

##   make bench-threads      examples/threads.c: the busiest thread with 1, 2 ... of them
bench-threads: $(BENCH_OUT)/cores $(BUILD)/threads
	$(BENCH_OUT)/cores $(BUILD)/threads

$(BENCH_OUT)/http: $(BENCH)/http.c azchan.h $(BENCH)/bench.mk
	@mkdir -p $(@D)
	$(BENCH_CC) -DAZCHAN_USE_EPOLL $< -o $@ $(LDFLAGS)

##   make bench-http         pages and files beside nginx: CPU per request; ROUNDS=7. Needs wrk and ab
bench-http: $(BENCH_OUT)/http
	@BUILD=$(BUILD) node $(BENCH)/http.mjs $(ROUNDS)

##   make check-speed        instructions and system calls within tests/bench/limits
check-speed: $(addprefix $(BENCH_OUT)/,check server)
	@$(BENCH_OUT)/check $(BENCH_OUT) $(BENCH)/limits

##   make limits             record this run's figures in tests/bench/limits
limits: $(addprefix $(BENCH_OUT)/,check server)
	@$(BENCH_OUT)/check $(BENCH_OUT) $(BENCH)/limits --write

##   make plan               memory and pings, for PLANNING in the manual. CONNECTIONS=200000: also
##                           so many idle ones
plan: $(BENCH_OUT)/plan $(BENCH_OUT)/crowd
	$(BENCH_OUT)/plan
	$(if $(CONNECTIONS),$(BENCH_OUT)/crowd $(CONNECTIONS))

.PHONY: bench bench-fan bench-http bench-uring bench-threads check-speed limits plan
