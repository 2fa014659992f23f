// llmc_step: training steps of llm.c's GPT-2 on the CPU, one for each line read, so that a benchmark can measure them in turn with its own.
// usage    llmc_step CHECKPOINT TOKENS B T RATE DECAY     TOKENS: B*T ids, then B*T targets, 32 bits each
// answers  "step loss milliseconds" for each line of its input; lines of other words are llm.c's own
// build    gcc -Ofast -march=native -fopenmp -I LLM.C llmc_step.c -o llmc_step -lm     where LLM.C is a checkout of github.com/karpathy/llm.c
#define TESTING // leaves its main out
#include "train_gpt2.c"

int main(int argc, char** argv) {
    if (argc != 7) { fprintf(stderr, "usage: llmc_step CHECKPOINT TOKENS B T RATE DECAY\n"); return 2; }
    int B = atoi(argv[3]), T = atoi(argv[4]);
    float rate = atof(argv[5]), decay = atof(argv[6]);
    int* tokens = (int*)mallocCheck(2 * B * T * sizeof(int));
    FILE* file = fopenCheck(argv[2], "rb");
    freadCheck(tokens, sizeof(int), 2 * B * T, file);
    fcloseCheck(file);
    GPT2 model;
    gpt2_build_from_checkpoint(&model, argv[1]);
    printf("ready\n");
    fflush(stdout);
    int step = 0;
    for (int c = getchar(); c != EOF; c = getchar()) {
        if (c != '\n') { continue; }
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        gpt2_forward(&model, tokens, tokens + B * T, B, T);
        gpt2_zero_grad(&model);
        gpt2_backward(&model);
        gpt2_update(&model, rate, 0.9f, 0.999f, 1e-8f, decay, ++step);
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("step %.6f %.3f\n", model.mean_loss, 1e3 * (end.tv_sec - start.tv_sec) + 1e-6 * (end.tv_nsec - start.tv_nsec));
        fflush(stdout);
    }
    gpt2_free(&model);
    return 0;
}
