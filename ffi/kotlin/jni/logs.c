// The log of models that keep one. C calls nothing of Java's, so lines wait in a ring until takeLog asks for them. The ring is the process's and
// never freed: sessions write to it for as long as they live.
#include "convert.h"

#include <pthread.h>

enum { LINES = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
// Under the lock: the place of the oldest line, how many there are, and how many had to make room for newer ones.
static size_t first, count, lost;
static struct {
    size_t bytes;
    char text[BANTAM_MESSAGE_BYTES];
} ring[LINES];

void keep_line(void *user, const char *text, size_t bytes) {
    (void)user;
    if (bytes > sizeof ring->text) bytes = sizeof ring->text;
    pthread_mutex_lock(&lock);
    size_t place = (first + count) % LINES;
    if (count == LINES) {
        first = (first + 1) % LINES;
        lost++;
    } else {
        count++;
    }
    ring[place].bytes = bytes;
    memcpy(ring[place].text, text, bytes);
    pthread_mutex_unlock(&lock);
}

// The oldest line, which is no longer in the ring then; how many lines older than it were lost.
static int take_line(char *text, size_t *bytes, size_t *lost_before) {
    pthread_mutex_lock(&lock);
    int is_there = count > 0;
    if (is_there) {
        *bytes = ring[first].bytes;
        memcpy(text, ring[first].text, *bytes);
        first = (first + 1) % LINES;
        count--;
        *lost_before += lost;
        lost = 0;
    }
    pthread_mutex_unlock(&lock);
    return is_there;
}

// Hands out at most as many lines as `lines` has room for, how many they are, and how many are missing before the last of them.
static jbyteArray log_take(SELF, jlongArray out, jobjectArray lines) {
    FRAME;
    size_t most = length(&f, lines), taken = 0, missing = 0, bytes = 0;
    char text[BANTAM_MESSAGE_BYTES];
    while (taken < most && is_good(&f) && take_line(text, &bytes, &missing)) put_bytes(&f, lines, (jsize)taken++, text, bytes);
    PUT(out, taken, missing);
    END;
}

// ---- names

static const JNINativeMethod table[] = {
    NATIVE("logTake", "([J[[B)[B", log_take),
};

NATIVES(logs, table);
