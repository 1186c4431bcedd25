// epoll_hello: the floor. An HTTP server that does nothing but the system calls no server can avoid.
//
// Usage: epoll_hello PORT WORKERS RESPONSE_FILE
//
// It answers every request head (a blank line) with the bytes of RESPONSE_FILE, from WORKERS processes that
// share one listening socket on loopback. It reads no method, path or body and keeps no time: whoever is
// measured beside it shows what parsing, Python and the application cost on top.
//
// Rule: epoll interest is set once per connection (edge-triggered) and never touched again, so a keep-alive
// request costs epoll_wait, recv and send.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_FDS = 20000, MAX_EVENTS = 256 };

static char *response;
static size_t response_length;

static struct {
    int matched; // how many bytes of \r\n\r\n were seen last
    size_t owed; // response bytes still to be sent, several whole responses when requests are pipelined
} connections[MAX_FDS];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void load_response(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) < 0) die(path);
    response_length = ftell(file);
    rewind(file);
    response = malloc(response_length + 1);
    if (!response_length || fread(response, 1, response_length, file) != response_length) die(path);
    fclose(file);
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    if (listen(fd, 2048) < 0) die("listen");
    return fd;
}

static size_t heads_in(int fd, const char *data, ssize_t length) {
    size_t heads = 0;
    int matched = connections[fd].matched;
    for (ssize_t i = 0; i < length; i++) {
        if (data[i] == "\r\n\r\n"[matched]) matched++;
        else matched = data[i] == '\r';
        if (matched == 4) heads++, matched = 0;
    }
    connections[fd].matched = matched;
    return heads;
}

// Returns false when the connection is over.
static int answer(int fd) {
    while (connections[fd].owed) {
        size_t left = connections[fd].owed % response_length;
        if (!left) left = response_length;
        ssize_t n = send(fd, response + response_length - left, left, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN;
        connections[fd].owed -= n;
    }
    return 1;
}

static void serve(int listener) {
    static char buffer[65536];
    struct epoll_event events[MAX_EVENTS], event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = listener};
    int epoll = epoll_create1(EPOLL_CLOEXEC), on = 1;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0) continue;
                if (fd >= MAX_FDS) {
                    close(fd);
                    continue;
                }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                connections[fd].matched = connections[fd].owed = 0;
                event = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
                continue;
            }
            int alive = 1;
            if (events[i].events & ~EPOLLOUT) {
                ssize_t n;
                do { // a full buffer means that there may be more, and no second event would tell
                    n = recv(fd, buffer, sizeof buffer, 0);
                    if (n > 0) connections[fd].owed += response_length * heads_in(fd, buffer, n);
                } while (n == sizeof buffer);
                alive = n > 0 || (n < 0 && errno == EAGAIN);
            }
            if (!alive || !answer(fd)) close(fd);
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: epoll_hello PORT WORKERS RESPONSE_FILE\n");
        return 2;
    }
    load_response(argv[3]);
    int listener = listen_on(atoi(argv[1]));
    for (int i = atoi(argv[2]); i > 0; i--)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM); // workers do not outlive the parent
            serve(listener);
        }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    return 1;
}
