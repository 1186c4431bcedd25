// load: an HTTP/1.1 and WebSocket load generator for one machine.
//
// Rules:
// - It talks to loopback only, and is bounded in time, connections, requests and errors.
// - Closed loop (default): each connection sends its next request when the last one is answered. This finds
//   the highest throughput; its latencies hide how long requests would have queued (coordinated omission).
// - Open loop (--rate): requests are due at Poisson arrival times drawn from --seed, whatever the server does.
//   Latency counts from the moment a request was *due*, also when no connection was free to send it.
// - With --upgrade each connection is made a WebSocket before it is used; requests are frames then, and the answer
//   to one is one message. Pings are answered and count for nothing.
// - With --tls all is encrypted. A connection that is made anew begins with a whole handshake, or with --resume
//   with the newest ticket that the last one on the same place was given. Certificates are not checked.
// - It says how busy it was itself (cpu / elapsed): near 1.0 it was the bottleneck, not the server.
//
// Without OpenSSL's headers it is compiled without -DTLS, and knows no --tls.
//
// The result is one JSON object on stdout. Histogram buckets are at most 1.6 % wide; each is given by its
// middle in microseconds, so a reader needs no knowledge of the bucket layout.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

enum {
    MAX_CONNECTIONS = 10000,
    MAX_SECONDS = 600,
    MAX_KINDS = 8,
    MAX_PIPELINE = 64,
    MAX_ERRORS = 10000, // a dead server must not be hammered
    MAX_HEAD = 16384,
    UPGRADE_SECONDS = 5,
    GRACE_SECONDS = 10, // for what is still due or unanswered when the time is up
    BUCKETS = 64 * 40,  // 64 per power of two of nanoseconds, up to hours
};

struct kind { // of request: the bytes to send and what came of them
    const char *name;
    char *batch; // the request, as often as it is pipelined
    size_t length;
    double share;
    uint64_t answered, histogram[BUCKETS];
};

enum phase { HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_CRLF, TRAILER, UNTIL_CLOSE, FRAME };

struct connection {
    int fd, waiting; // responses due
    struct kind *kind;
    size_t sent;
    uint64_t started; // ns; open loop: when the request was due
    enum phase phase;
    uint64_t left; // bytes of body, chunk or message
    int line;      // bytes in the present trailer line or chunk extension
    int closing;   // the server will close after this response
    size_t head_length;
    char head[MAX_HEAD];
#ifdef TLS
    SSL *tls;
    SSL_SESSION *session; // the newest of this place
#endif
};

static struct sockaddr_in server = {.sin_family = AF_INET};
static struct kind kinds[MAX_KINDS];
static struct connection *connections;
static struct connection **idle; // a ring, so that the connections take turns
static int kind_count, connection_count = 1, pipeline = 1, reconnect, epoll_fd, idle_first, idle_count;
static char *upgrade; // the request that makes a connection a WebSocket
static size_t upgrade_length;
static uint64_t max_requests = UINT64_MAX, started_requests, opened, received, last_answer, random_state = 1;
static double rate;
static struct { uint64_t connect, closed, status, protocol; } errors;

static void die(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(2);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static double random_unit(void) { // splitmix64, [0, 1)
    uint64_t z = random_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return ((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static uint64_t error_count(void) { return errors.connect + errors.closed + errors.status + errors.protocol; }

// ---- histogram: exact below 64 ns, then 64 buckets per power of two

static void record(struct kind *kind, uint64_t ns) {
    int shift = ns < 64 ? 0 : 63 - 6 - __builtin_clzll(ns);
    uint64_t bucket = shift * 64ull + (ns >> shift);
    kind->histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    kind->answered++;
}

static double bucket_middle_us(int bucket) {
    int shift = bucket < 128 ? 0 : bucket / 64 - 1;
    uint64_t low = (uint64_t)(bucket - shift * 64) << shift;
    return (low + ((1ull << shift) - 1) / 2.0) / 1000;
}

// ---- TLS

static uint64_t handshakes, resumed;

#ifdef TLS
static SSL_CTX *context; // NULL: plain
static int resume;

static int keep_session(SSL *tls, SSL_SESSION *session) {
    struct connection *c = SSL_get_app_data(tls);
    SSL_SESSION_free(c->session);
    c->session = session;
    return 1; // it is ours now
}

static void use_tls(void) {
    context = SSL_CTX_new(TLS_client_method());
    if (!context) die("OpenSSL does not start");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
}

static int begin_tls(struct connection *c) {
    if (!context) return 1;
    c->tls = SSL_new(context);
    if (!c->tls || !SSL_set_fd(c->tls, c->fd) || !SSL_set_tlsext_host_name(c->tls, "localhost")) return 0;
    SSL_set_app_data(c->tls, c);
    SSL_set_connect_state(c->tls);
    if (resume && c->session) SSL_set_session(c->tls, c->session);
    return 1;
}

static void end_tls(struct connection *c) {
    if (!c->tls) return;
    if (SSL_is_init_finished(c->tls)) {
        handshakes++;
        resumed += SSL_session_reused(c->tls);
    }
    SSL_set_quiet_shutdown(c->tls, 1);
    SSL_shutdown(c->tls); // otherwise its session would count as bad
    SSL_free(c->tls);
    c->tls = NULL;
}

static ssize_t of_tls(struct connection *c, int done) { // what recv(2) or send(2) would return
    if (done > 0) return done;
    int error = SSL_get_error(c->tls, done);
    ERR_clear_error();
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static ssize_t transmit(struct connection *c, const void *data, size_t length) {
    return c->tls ? of_tls(c, SSL_write(c->tls, data, length)) : send(c->fd, data, length, MSG_NOSIGNAL);
}

static ssize_t receive(struct connection *c, void *buffer, size_t size) {
    return c->tls ? of_tls(c, SSL_read(c->tls, buffer, size)) : recv(c->fd, buffer, size, 0);
}

static int is_encrypted(struct connection *c) { return c->tls != NULL; }
#else
static int begin_tls(struct connection *c) { return (void)c, 1; }
static void end_tls(struct connection *c) { (void)c; }
static int is_encrypted(struct connection *c) { return (void)c, 0; }

static ssize_t transmit(struct connection *c, const void *data, size_t length) {
    return send(c->fd, data, length, MSG_NOSIGNAL);
}

static ssize_t receive(struct connection *c, void *buffer, size_t size) { return recv(c->fd, buffer, size, 0); }
#endif

// ---- connections

static void rest(struct connection *c) {
    c->waiting = 0;
    idle[(idle_first + idle_count++) % connection_count] = c;
}

static void hang_up(struct connection *c) {
    end_tls(c);
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static void fail(struct connection *c, uint64_t *error) {
    *error += c->waiting ? c->waiting : 1;
    hang_up(c);
    rest(c);
}

// Waits for it: the load begins when the connection is there.
static int upgrade_connection(struct connection *c) {
    struct timeval limit = {.tv_sec = UPGRADE_SECONDS};
    char answer[MAX_HEAD];
    size_t length = 0;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0) return 0;
    if (send(c->fd, upgrade, upgrade_length, MSG_NOSIGNAL) != (ssize_t)upgrade_length) return 0;
    while (length < 4 || memcmp(answer + length - 4, "\r\n\r\n", 4)) // byte by byte: a frame may follow
        if (length == sizeof answer || recv(c->fd, answer + length++, 1, 0) != 1) return 0;
    return !memcmp(answer, "HTTP/1.1 101", 12) && fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0;
}

static int open_connection(struct connection *c) {
    // Lingering for 0 s makes close() send a reset, so that no port of ours waits in TIME_WAIT.
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (upgrade ? 0 : SOCK_NONBLOCK), 0);
    if (c->fd < 0) return 0;
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    opened++;
    if (upgrade && !upgrade_connection(c)) return 0;
    if (!upgrade && connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) return 0;
    if (!begin_tls(c)) return 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

static void write_some(struct connection *c) {
    while (c->waiting && c->sent < c->kind->length) {
        ssize_t n = transmit(c, c->kind->batch + c->sent, c->kind->length - c->sent);
        // Not yet: the next edge calls again. Refused: a server may answer and close before it has read the
        // whole body, so it is for read_some() to find out whether there is an answer.
        if (n < 0) return;
        c->sent += n;
    }
}

static struct kind *draw_kind(void) {
    double at = kind_count > 1 ? random_unit() : 0;
    for (int i = 0; i < kind_count - 1; i++)
        if ((at -= kinds[i].share) < 0) return &kinds[i];
    return &kinds[kind_count - 1];
}

static void begin(struct connection *c, uint64_t started) {
    c->kind = draw_kind();
    c->sent = 0;
    c->started = started;
    c->waiting = pipeline;
    c->phase = upgrade ? FRAME : HEAD;
    c->head_length = c->line = 0;
    started_requests += pipeline;
    if (c->fd < 0 && !open_connection(c)) return fail(c, &errors.connect);
    write_some(c);
}

// ---- responses

static void response_done(struct connection *c) {
    last_answer = now_ns();
    record(c->kind, last_answer - c->started);
    c->waiting--;
    c->phase = upgrade ? FRAME : HEAD;
    c->head_length = 0;
}

static const char *header(const char *head, const char *name) {
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) + strspn(at + strlen(name), " \t") : NULL;
}

static int head_done(struct connection *c) { // false: not a response we can count
    char *head = c->head;
    head[c->head_length] = 0;
    if (strncmp(head, "HTTP/1.", 7) || c->head_length < 12) return 0;
    int status = atoi(head + 9);
    if (status == 100) return c->head_length = 0, 1;
    if (status < 200 || status > 299) errors.status++;
    const char *connection = header(head, "\r\nconnection:"), *length = header(head, "\r\ncontent-length:");
    const char *coding = header(head, "\r\ntransfer-encoding:");
    c->closing = head[7] == '0' ? !(connection && !strncasecmp(connection, "keep-alive", 10))
                                : connection && !strncasecmp(connection, "close", 5);
    int chunked = coding && !strncasecmp(coding, "chunked", 7);
    c->left = length && !chunked ? strtoull(length, NULL, 10) : 0;
    c->phase = chunked ? CHUNK_SIZE : length || status == 204 ? BODY : UNTIL_CLOSE;
    if (c->phase == BODY && !c->left) response_done(c);
    return 1;
}

// Called for each byte of the head of a frame, and of a control frame to its end.
static int frame_byte(struct connection *c) { // false: nothing a server sends to us
    unsigned char *frame = (unsigned char *)c->head;
    if (c->head_length < 2) return 1;
    int opcode = frame[0] & 15, size = frame[1];
    if (opcode == 9 && size <= 125) {
        if (c->head_length < 2u + size) return 1;
        unsigned char pong[6 + 125] = {0x8a, 0x80 | size}; // masked with zeros
        memcpy(pong + 6, frame + 2, size);
        c->head_length = 0;
        return send(c->fd, pong, 6 + size, MSG_NOSIGNAL) == 6 + size;
    }
    size_t head = size == 127 ? 10 : size == 126 ? 4 : 2;
    if (!c->waiting || !(frame[0] & 0x80) || opcode < 1 || opcode > 2 || size > 127) return 0;
    if (c->head_length < head) return 1;
    c->left = head == 2 ? size : 0;
    for (size_t i = 2; i < head; i++) c->left = c->left << 8 | frame[i];
    c->phase = BODY;
    if (!c->left) response_done(c);
    return 1;
}

// Eats one byte of a head, of a frame or of chunk framing. Returns false when it makes no sense.
static int eat(struct connection *c, char byte) {
    switch (c->phase) {
    case HEAD:
        if (c->head_length + 1 >= MAX_HEAD) return 0;
        c->head[c->head_length++] = byte;
        if (byte == '\n' && c->head_length > 3 && !memcmp(c->head + c->head_length - 4, "\r\n\r\n", 4))
            return head_done(c);
        return 1;
    case CHUNK_SIZE:
        if (byte == '\n') c->phase = c->left ? CHUNK_DATA : TRAILER, c->line = 0;
        else if (byte == ';') c->line = 1; // an extension, up to the end of the line
        else if (byte != '\r' && !c->line) {
            const char *digits = "0123456789abcdef", *at = strchr(digits, byte | 0x20);
            if (!byte || !at) return 0;
            c->left = c->left * 16 + (at - digits);
        }
        return 1;
    case CHUNK_CRLF:
        if (byte == '\n') c->phase = CHUNK_SIZE;
        return byte == '\r' || byte == '\n';
    case FRAME:
        c->head[c->head_length++] = byte;
        return frame_byte(c);
    case TRAILER:
        if (byte == '\n' && !c->line) response_done(c);
        else if (byte == '\n') c->line = 0;
        else if (byte != '\r') c->line++;
        return 1;
    default: return 0;
    }
}

static int consume(struct connection *c, const char *data, size_t length) {
    while (length && (c->waiting || c->phase == FRAME)) {
        if (c->phase == UNTIL_CLOSE) return 1;
        if (c->phase == BODY || c->phase == CHUNK_DATA) {
            size_t n = length < c->left ? length : c->left;
            data += n, length -= n, c->left -= n;
            if (!c->left && c->phase == BODY) response_done(c);
            else if (!c->left) c->phase = CHUNK_CRLF;
        } else {
            length--;
            if (!eat(c, *data++)) return 0;
        }
    }
    return !length; // bytes that nobody asked for are an error as well
}

static void read_some(struct connection *c, uint32_t events) {
    static char buffer[262144];
    for (;;) {
        ssize_t n = receive(c, buffer, sizeof buffer);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            if (n == 0 && c->waiting == 1 && c->phase == UNTIL_CLOSE) {
                response_done(c);
                hang_up(c);
                return rest(c);
            }
            if (c->waiting) return fail(c, c->sent ? &errors.closed : &errors.connect);
            return hang_up(c); // an idle connection that the server closed
        }
        received += n;
        int was_waiting = c->waiting;
        if (!consume(c, buffer, n)) return fail(c, &errors.protocol);
        if (was_waiting && !c->waiting) {
            if (c->closing || reconnect) hang_up(c);
            return rest(c);
        }
        // Of TLS there may be more records.
        if ((size_t)n < sizeof buffer && !(events & EPOLLRDHUP) && !is_encrypted(c)) return;
    }
}

// ---- the run

// Starts what may start. Returns when the next request of an open loop is due.
static uint64_t dispatch(uint64_t due, uint64_t end) {
    for (int count = idle_count; count > 0 && started_requests < max_requests; count--) {
        uint64_t now = now_ns();
        if (rate ? due > now || due >= end : now >= end) break;
        struct connection *c = idle[idle_first];
        idle_first = (idle_first + 1) % connection_count;
        idle_count--;
        begin(c, rate ? due : now);
        if (rate) due += -log(1 - random_unit()) / rate * 1e9;
    }
    return due;
}

static uint64_t run(double seconds, uint64_t *begun) {
    struct epoll_event events[512], timer_event = {.events = EPOLLIN};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &timer_event);
    uint64_t due = last_answer = *begun = now_ns(), end = due + seconds * 1e9, armed = 0;
    for (;;) {
        due = dispatch(due, end);
        uint64_t now = now_ns();
        int over = rate ? due >= end && now >= end : now >= end;
        if ((over || started_requests >= max_requests) && idle_count == connection_count) break;
        if (now > end + GRACE_SECONDS * 1000000000ull || error_count() > MAX_ERRORS) break;
        if (rate && due != armed) {
            struct itimerspec at = {.it_value = {due / 1000000000, due % 1000000000}};
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
            armed = due;
        }
        int count = epoll_wait(epoll_fd, events, 512, 20);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c || c->fd < 0) continue;
            if (events[i].events & EPOLLOUT) write_some(c);
            if (events[i].events & ~EPOLLOUT) read_some(c, events[i].events);
            if (c->fd >= 0 && is_encrypted(c)) write_some(c); // what was read may have ended a handshake
        }
    }
    uint64_t unsent = 0;
    for (; rate && due < end && started_requests < max_requests; unsent++) due += -log(1 - random_unit()) / rate * 1e9;
    return unsent;
}

static void report(double elapsed, uint64_t unsent) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    struct timeval user = usage.ru_utime, system = usage.ru_stime;
    double cpu = user.tv_sec + system.tv_sec + (user.tv_usec + system.tv_usec) / 1e6;
    uint64_t unanswered = unsent;
    for (int i = 0; i < connection_count; i++) unanswered += connections[i].waiting;
    for (int i = 0; i < connection_count; i++) end_tls(&connections[i]);
    printf("{\"elapsed\": %.6f, \"cpu\": %.6f, \"bytes\": %lu, \"opened\": %lu, \"unanswered\": %lu,\n",
           elapsed, cpu, received, opened, unanswered);
    printf(" \"handshakes\": %lu, \"resumed\": %lu,\n", handshakes, resumed);
    printf(" \"errors\": {\"connect\": %lu, \"closed\": %lu, \"status\": %lu, \"protocol\": %lu},\n \"kinds\": [",
           errors.connect, errors.closed, errors.status, errors.protocol);
    for (int k = 0; k < kind_count; k++) {
        printf("%s{\"name\": \"%s\", \"answered\": %lu, \"histogram\": [", k ? ",\n  " : "", kinds[k].name,
               kinds[k].answered);
        const char *comma = "";
        for (int b = 0; b < BUCKETS; b++)
            if (kinds[k].histogram[b]) {
                printf("%s[%.3f, %lu]", comma, bucket_middle_us(b), kinds[k].histogram[b]);
                comma = ", ";
            }
        printf("]}");
    }
    printf("]}\n");
}

static char *read_times(const char *path, int times, size_t *length) { // what is in a file, several times
    FILE *file = path ? fopen(path, "rb") : NULL;
    if (!file || fseek(file, 0, SEEK_END) < 0) die("cannot open the file of a request (NAME:SHARE:FILE)");
    size_t once = ftell(file);
    rewind(file);
    char *bytes = malloc(once * times + 1);
    if (!once || !bytes || fread(bytes, 1, once, file) != once) die("cannot read the request");
    for (int i = 1; i < times; i++) memcpy(bytes + i * once, bytes, once);
    fclose(file);
    *length = once * times;
    return bytes;
}

static void add_kind(char *argument) { // NAME:SHARE:FILE
    if (kind_count == MAX_KINDS) die("too many kinds of request");
    struct kind *kind = &kinds[kind_count++];
    char *name = strsep(&argument, ":"), *share = strsep(&argument, ":");
    kind->batch = read_times(argument, pipeline, &kind->length);
    kind->name = name;
    kind->share = atof(share);
}

static void open_all(void) { // failures show when a connection is needed
    for (int i = 0; i < connection_count; i++)
        if (!open_connection(&connections[i])) hang_up(&connections[i]);
}

static const char USAGE[] =
    "usage: load --port PORT --request NAME:SHARE:FILE [--request ...] [--host 127.0.0.1] [--connections N]\n"
    "            [--seconds S] [--requests N] [--pipeline DEPTH] [--reconnect] [--rate PER_SECOND [--seed N]]\n"
    "            [--upgrade FILE] [--tls [--resume]]";

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"host", 1, 0, 'h'},     {"port", 1, 0, 'p'},     {"connections", 1, 0, 'c'}, {"seconds", 1, 0, 's'},
        {"requests", 1, 0, 'n'}, {"pipeline", 1, 0, 'd'}, {"reconnect", 0, 0, 'R'},   {"rate", 1, 0, 'r'},
        {"seed", 1, 0, 'S'},     {"request", 1, 0, 'f'},  {"upgrade", 1, 0, 'u'},
#ifdef TLS
        {"tls", 0, 0, 't'},      {"resume", 0, 0, 'T'},
#endif
        {0}};
    const char *host = "127.0.0.1";
    char *requests[MAX_KINDS + 1];
    int request_count = 0, option;
    double seconds = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) switch (option) {
        case 'h': host = optarg; break;
        case 'p': server.sin_port = htons(atoi(optarg)); break;
        case 'c': connection_count = atoi(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'n': max_requests = strtoull(optarg, NULL, 10); break;
        case 'd': pipeline = atoi(optarg); break;
        case 'R': reconnect = 1; break;
        case 'r': rate = atof(optarg); break;
        case 'S': random_state = strtoull(optarg, NULL, 10); break;
        case 'f': if (request_count <= MAX_KINDS) requests[request_count++] = optarg; break;
        case 'u': upgrade = read_times(optarg, 1, &upgrade_length); break;
#ifdef TLS
        case 't': use_tls(); break;
        case 'T': resume = 1; break;
#endif
        default: die(USAGE);
        }
    if (inet_pton(AF_INET, host, &server.sin_addr) != 1 || ntohl(server.sin_addr.s_addr) >> 24 != 127)
        die("refused: only loopback addresses (127.0.0.0/8) may be put under load");
    if (!server.sin_port || !request_count || optind != argc) die(USAGE);
    if (connection_count < 1 || connection_count > MAX_CONNECTIONS) die("--connections must be 1 to 10000");
    if (!(seconds > 0 && seconds <= MAX_SECONDS)) die("--seconds must be more than 0 and at most 600");
    if (pipeline < 1 || pipeline > MAX_PIPELINE) die("--pipeline must be 1 to 64");
    if (rate < 0 || (rate > 0 && pipeline > 1)) die("--rate must be positive and cannot be combined with --pipeline");
    for (int i = 0; i < request_count; i++) add_kind(requests[i]);
    connections = calloc(connection_count, sizeof *connections);
    idle = calloc(connection_count, sizeof *idle);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !idle || epoll_fd < 0) die("out of memory or descriptors");
    for (int i = 0; i < connection_count; i++) {
        connections[i].fd = -1;
        rest(&connections[i]);
    }
    if (upgrade) open_all();
    uint64_t begun, unsent = run(seconds, &begun);
    report((last_answer - begun) / 1e9, unsent);
    return 0;
}
