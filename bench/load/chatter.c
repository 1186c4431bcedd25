/* A process that talks: lines of 80 bytes on its standard output, at a steady pace, for a limited time.
 *
 *     chatter LINES_PER_SECOND SECONDS
 *
 * Every line is a write of its own, as a program makes them that is not buffered. It ends when nobody reads.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 3 || atoi(argv[1]) < 1 || atoi(argv[1]) > 1000000 || atoi(argv[2]) < 1 || atoi(argv[2]) > 86400) {
        fprintf(stderr, "usage: chatter LINES_PER_SECOND SECONDS\n");
        return 2;
    }
    long pause = 1000000000L / atoi(argv[1]);
    long lines = (long)atoi(argv[1]) * atoi(argv[2]);
    char line[81];
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (long n = 0; n < lines; n++) {
        int length = snprintf(line, sizeof line, "%010ld ", n);
        memset(line + length, '.', sizeof line - length);
        line[79] = '\n';
        if (write(STDOUT_FILENO, line, 80) < 0)
            return 0;
        due.tv_nsec += pause;
        if (due.tv_nsec >= 1000000000L) {
            due.tv_nsec -= 1000000000L;
            due.tv_sec++;
        }
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > due.tv_sec || (now.tv_sec == due.tv_sec && now.tv_nsec > due.tv_nsec))
            due = now; /* it was kept waiting: what it did not say in time it does not say */
        else
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
    return 0;
}
