# Servers with real programs around them, which each test starts and stops: nginx, Redis, OpenSSL,
# systemd's socket activation, Prometheus. Included by the Makefile, which defines WARN.
NET = $(BUILD)/net_host

$(BUILD)/net_host: tests/net/host.c azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

$(BUILD)/net_supervise: tests/net/supervise.c
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

$(BUILD)/net_slow: tests/net/slow.c tests/test.h azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) -D_DEFAULT_SOURCE $< -o $@ -lpthread $(LDFLAGS)

$(BUILD)/net_tls: tests/net/tls.c tests/*.h azchan.h
	@mkdir -p $(@D)
	@echo '#include <openssl/ssl.h>' | $(CC) -E - >/dev/null 2>&1 || \
	    { echo "check-tls: OpenSSL is missing: install libssl-dev"; exit 1; }
	$(CC) $(WARN) $(CFLAGS) $< -o $@ -lssl -lcrypto $(LDFLAGS)

##   make check-slow         slow peers with the default deadlines, also through nginx: two minutes
check-slow: $(BUILD)/net_slow
	@PATH="$$PATH:/usr/sbin" $(BUILD)/net_slow

##   make check-proxy        the files of examples/deploy with nginx, HAProxy and Caddy
check-proxy: $(NET)
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/proxy.mjs

##   make check-bodies       requests with a body from curl, also through nginx and HAProxy
check-bodies: $(NET)
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/bodies.mjs

##   make check-settings     the login of examples/settings.c, with curl
check-settings: $(BUILD)/settings
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/settings.mjs

##   make check-answers      answers that take time, to curl and Chromium, also through proxies
check-answers: $(NET)
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/answers.mjs

##   make check-files        examples/www.c with curl, wget, h2load, wrk, ab, Chromium, and proxies
check-files: $(BUILD)/www
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/files.mjs

##   make check-tls          the system calls of azchan.h over OpenSSL
check-tls: $(BUILD)/net_tls
	@$(BUILD)/net_tls

##   make check-restart      azc_shutdown, reuse_port, and sockets from systemd and inetd
check-restart: $(NET) $(BUILD)/net_supervise
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/restart.mjs

##   make check-cluster      a chat on several processes and a Redis that stops, returns and is slow
check-cluster: $(BUILD)/cluster
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/cluster.mjs

##   make check-metrics      azc_stats as the parser of Prometheus reads it
check-metrics: $(BUILD)/metrics
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/metrics.mjs

##   make check-net          the nine above
check-net: check-tls check-proxy check-bodies check-answers check-files check-settings check-restart \
    check-cluster check-metrics

.PHONY: check-slow check-net check-bodies check-answers check-files check-cluster check-metrics check-proxy \
    check-restart check-settings check-tls
