# Servers among their neighbours, each a real program that the test starts and stops: nginx, redis,
# OpenSSL, systemd's socket activation, Prometheus. Included by the Makefile, which sets WARN.
NET = $(BUILD)/net_host

$(BUILD)/net_host: tests/net/host.c azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

$(BUILD)/net_supervise: tests/net/supervise.c
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

$(BUILD)/net_tls: tests/net/tls.c tests/*.h azchan.h
	@mkdir -p $(@D)
	@echo '#include <openssl/ssl.h>' | $(CC) -E - >/dev/null 2>&1 || \
	    { echo "check-tls: OpenSSL is missing: install libssl-dev"; exit 1; }
	$(CC) $(WARN) $(CFLAGS) $< -o $@ -lssl -lcrypto $(LDFLAGS)

# The proxy files of examples/deploy with nginx, HAProxy and Caddy, over TCP and Unix sockets.
check-proxy: $(NET)
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/proxy.mjs

# The header's system calls over OpenSSL.
check-tls: $(BUILD)/net_tls
	@$(BUILD)/net_tls

# A new process replaces the old one; processes share a port; systemd and inetd pass sockets, with
# the units of examples/deploy.
check-restart: $(NET) $(BUILD)/net_supervise
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/restart.mjs

# The chat on several processes and a real Redis, which goes, comes, and is slow.
check-cluster: $(BUILD)/cluster
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/cluster.mjs

# azc_stats as Prometheus's own parser reads it.
check-metrics: $(BUILD)/metrics
	$(call need,node,nodejs)
	@BUILD=$(abspath $(BUILD)) node tests/net/metrics.mjs

check-net: check-tls check-proxy check-restart check-cluster check-metrics

.PHONY: check-net check-cluster check-metrics check-proxy check-restart check-tls
