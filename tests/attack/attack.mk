# Attacks on a real server, and the soak; included by the Makefile, which defines WARN.
ATTACKS = $(patsubst tests/attack/%.c,$(BUILD)/attack/%,$(wildcard tests/attack/*.c))
SEED = 1

$(BUILD)/attack/%: tests/attack/%.c tests/attack/*.h tests/*.h azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

$(BUILD)/soak: tests/soak/soak.c tests/attack/*.h tests/*.h azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

##   make check-attacks      hostile peers against a real server; needs ulimit -n 4300
# One after the other, because they measure time.
check-attacks: $(ATTACKS)
	@failed=0; for t in $(ATTACKS); do $$t || failed=1; done; exit $$failed

##   make soak SECONDS=600   a server and a random crowd, checked message by message; SEED=1
soak: $(BUILD)/soak
	$(BUILD)/soak $(or $(SECONDS),600) $(SEED)

##   make check-soak         the soak for 20 seconds
check-soak: $(BUILD)/soak
	$(BUILD)/soak 20 $(SEED)

.PHONY: check-attacks soak check-soak
