# Attacks on a real server, and the soak; included by the Makefile, which sets WARN.
ATTACKS = $(patsubst tests/attack/%.c,$(BUILD)/attack/%,$(wildcard tests/attack/*.c))
SEED = 1

$(BUILD)/attack/%: tests/attack/%.c tests/attack/*.h tests/*.h azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

$(BUILD)/soak: tests/soak/soak.c tests/attack/*.h tests/*.h azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

# One after the other: they time their newcomers. Needs ulimit -n of 4300.
check-attacks: $(ATTACKS)
	@failed=0; for t in $(ATTACKS); do $$t || failed=1; done; exit $$failed

soak: $(BUILD)/soak
	$(BUILD)/soak $(or $(SECONDS),600) $(SEED)

check-soak: $(BUILD)/soak
	$(BUILD)/soak 20 $(SEED)

.PHONY: check-attacks soak check-soak
