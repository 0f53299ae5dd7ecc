/* Random scripts against a small model of the server: see model/model.c. These are 20,000 steps of
 * each kind; make check-model runs millions. A difference ends the program, with its message. */
#define main model_main
#include "model/model.c"
#undef main
#include "test.h"

int main(int argc, char **argv) {
    test_start(argc, argv);
    TEST("random scripts over Unix sockets do what the model predicts") run_model(2, 20000, ~0ull);
    TEST("random scripts over TCP do what the model predicts") run_model(3, 20000, ~0ull);
    return test_end();
}
