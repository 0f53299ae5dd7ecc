# Random scripts against a real server, checked by a small model; included by the Makefile, which
# defines WARN, BUILD and SANITIZE. A failure prints the command that shows it again.
MODEL_SEEDS = 2 3
MODEL_STEPS = 2000000

# poll, epoll (Linux), the small code paths, and fewer steps with AddressSanitizer and UBSan.
MODEL_poll = -O1 -g
MODEL_epoll = -O1 -g -DAZCHAN_USE_EPOLL
MODEL_small = -Os -g
MODEL_asan = -O1 -g -DAZCHAN_USE_EPOLL $(SANITIZE)
MODELS = $(addprefix $(BUILD)/model_,poll epoll small asan)

$(MODELS): $(BUILD)/model_%: tests/model/*.[ch] azchan.h
	@mkdir -p $(@D)
	$(CC) $(WARN) $(MODEL_$*) tests/model/model.c -o $@ $(LDFLAGS)

##   make check-model        random scripts against a model of the server, MODEL_STEPS=2000000
check-model: $(MODELS)
	@for seed in $(MODEL_SEEDS); do \
	    for model in poll epoll small; do \
	        $(BUILD)/model_$$model $$seed $(MODEL_STEPS) || exit 1; done; \
	    $(BUILD)/model_asan $$seed $$(($(MODEL_STEPS) / 4)) || exit 1; done

$(BUILD)/tests/test_all_model: $(wildcard tests/model/*.[ch])

.PHONY: check-model
