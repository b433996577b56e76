# tools/lint.awk - the rules of tools/lint that read C: one pass, comments and strings set apart.
# Prints "file:line: rule: what, and what to do" for each finding.

function hit(rule, text) { print FILENAME ":" FNR ": " rule ": " text }

# The folder of src/ that a file is in, or "".
function folder_of(path) { return path ~ /^src\/[^\/]+\// ? substr(path, 5, index(substr(path, 5), "/") - 1) : "" }

function is_freestanding(path)
{
    sub(/^src\//, "", path)
    sub(/\.(c|h|def)$/, "", path)
    return path ~ /^core\// || path in freestanding
}

BEGIN {
    count = split("base crypto core proto net ledger payload runtime router miner oracle cli", layers, " ")
    for (i = 1; i <= count; i++)
        rank[layers[i]] = i
    count = split("ledger payload runtime", list, " ")
    for (i = 1; i <= count; i++)
        apart[list[i]] = 1
    # What wasm32 and the replay tools compile without a C library, besides all of src/core.
    count = split("base/amount base/arena base/assert base/bytes base/fenwick base/heap base/hex base/id_map base/mem " \
        "base/prefetch base/prng base/slots base/text base/types base/utf8 crypto/keccak crypto/blake3 " \
        "crypto/blake3_parts crypto/eip712", list, " ")
    for (i = 1; i <= count; i++)
        freestanding[list[i]] = 1
    # The headers that a compiler has without a C library; assert.h for static_assert, in base/assert.h alone.
    count = split("stdint.h stdbool.h stddef.h stdalign.h stdnoreturn.h limits.h", list, " ")
    for (i = 1; i <= count; i++)
        compiler_header[list[i]] = 1
    # Each module of the core asks only those before it.
    count = split("account payment catalog reputation node_pool session cognitive validation session_queue", list, " ")
    for (i = 1; i <= count; i++)
        module_rank[list[i]] = i

    calls = "malloc|calloc|realloc|free|alloca|strdup|printf|fprintf|sprintf|snprintf|puts|fputs|putchar|fopen|fread|" \
        "fwrite|fclose|open|close|read|write|ioctl|time|clock|clock_gettime|gettimeofday|localtime|gmtime|strftime|rand|" \
        "srand|random|getrandom|getenv|exit|abort|atexit|assert|qsort|bsearch|strlen|strcmp|strncmp|strcpy|strncpy|" \
        "strcat|strchr|strstr|strtol|strtoul|strtoull|atoi|sleep|usleep|nanosleep|pthread_[a-z_]+|setjmp|longjmp|signal"
    banned_call = "(^|[^A-Za-z0-9_.>])(" calls ")[ ]*\\("
    socket_call = "(^|[^A-Za-z0-9_.>])(socket|socketpair|accept4|uv_tcp_[a-z_]+|uv_pipe_[a-z_]+|uv_listen)[ ]*\\("
    clock_call = "(^|[^A-Za-z0-9_.>])(time|clock|clock_gettime|gettimeofday|uv_now|uv_hrtime)[ ]*\\("
    sleep_call = "(^|[^A-Za-z0-9_.>])(sleep|usleep|nanosleep|clock_nanosleep|uv_sleep|thrd_sleep)[ ]*\\("
}

FNR == 1 {
    in_comment = 0
    guard = ""
    folder = folder_of(FILENAME)
    core_like = folder != "" && is_freestanding(FILENAME)
    is_module = FILENAME ~ /^src\/core\//
    module = FILENAME
    sub(/.*\//, "", module)
    sub(/\.[a-z]+$/, "", module)
    is_header = FILENAME ~ /\.h$/
    if (is_header) {
        guard = FILENAME
        sub(/^src\//, "", guard)
        if (guard ~ /\/.*\//) { # tests/lib/test.h: the first folder and the name
            first = guard
            sub(/\/.*/, "", first)
            sub(/.*\//, "", guard)
            guard = first "/" guard
        }
        gsub(/[^A-Za-z0-9]/, "_", guard)
        guard = "CORTEN_" toupper(guard)
        guard_step = 0
    }
}

# Sets code: the line without comments and with empty strings.
{
    rest = $0
    code = ""
    while (rest != "") {
        if (in_comment) {
            end = index(rest, "*/")
            if (!end)
                break
            rest = substr(rest, end + 2)
            in_comment = 0
            continue
        }
        if (!match(rest, /\/\*|\/\/|"|'/)) {
            code = code rest
            break
        }
        code = code substr(rest, 1, RSTART - 1)
        mark = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        if (mark == "//")
            break
        if (mark == "/*") {
            in_comment = 1
            continue
        }
        # A string or character: up to its end, over escaped characters.
        text = ""
        while (rest != "" && substr(rest, 1, 1) != mark) {
            step = substr(rest, 1, 1) == "\\" ? 2 : 1
            text = text substr(rest, 1, step)
            rest = substr(rest, step + 1)
        }
        rest = substr(rest, 2)
        code = code (code ~ /^[ ]*#[ ]*include[ ]*$/ ? "\"" text "\"" : mark mark)
    }
}

is_header && code != "" && code !~ /^[ ]*$/ {
    guard_step++
    if (guard_step == 1 && code !~ "^#ifndef " guard "[ ]*$") {
        hit("guard", "the first line of code must be #ifndef " guard)
        is_header = 0
    } else if (guard_step == 2 && code !~ "^#define " guard "[ ]*$") {
        hit("guard", "the second line of code must be #define " guard)
        is_header = 0
    }
}

code ~ /^[ ]*#[ ]*include/ {
    name = code
    system_header = name ~ /</
    sub(/^[^<"]*[<"]/, "", name)
    sub(/[>"].*/, "", name)
    if (folder != "" && !system_header) {
        to = name
        if (!sub(/\/.*/, "", to))
            hit("layers", "\"" name "\" has no folder: write \"" folder "/" name "\"")
        else if (!(to in rank))
            hit("layers", "\"" name "\" is not in a folder of src/: what src/ needs must live there")
        else if (!(folder in rank))
            hit("layers", "src/" folder "/ has no place in the order of folders: give it one in tools/lint.awk and the docs")
        else if (rank[to] > rank[folder])
            hit("layers", folder " must not see " to ", which is built on it: turn the call round, or move what both need down")
        else if (to != folder && to in apart && folder in apart)
            hit("layers", folder " and " to " must not see each other: let a role pass what is needed")
        if (is_module && name ~ /^core\//) {
            asked = name
            sub(/^core\//, "", asked)
            sub(/\.h$/, "", asked)
            if (module in module_rank && asked in module_rank && module_rank[asked] > module_rank[module])
                hit("modules", module " must not ask " asked ", which comes after it: mark the row and let the sweep pick it up")
        }
    }
    if (core_like) {
        if (system_header && !(name in compiler_header) && FILENAME !~ /^src\/base\/(assert|mem)\.[ch]$/)
            hit("core-include", "<" name "> is the C library's, and the core does without: use base/mem.h and base/assert.h")
        if (!system_header && !is_freestanding("src/" name))
            hit("core-include", "\"" name "\" needs a C library: only what is freestanding may be used here (tools/lint.awk lists it)")
    }
    next
}

core_like && code ~ banned_call && FILENAME !~ /^src\/base\/(assert|mem)\.[ch]$/ {
    match(code, banned_call)
    call = substr(code, RSTART, RLENGTH)
    gsub(/[^A-Za-z0-9_]/, "", call)
    hit("core-calls", call "() in the core: it may not allocate, wait, print or ask the clock; take it as an argument")
}

core_like && code ~ /(^|[^A-Za-z0-9_])(float|double|__int128|__float128|_Float[0-9]+|_Decimal[0-9]+)([^A-Za-z0-9_]|$)/ {
    hit("core-float", "no floating point and no __int128 here: use fixed point or amount_scale_*, replicas must agree to the bit")
}

core_like && code ~ /(^|[^A-Za-z0-9_.])[0-9]+\.[0-9]/ {
    hit("core-float", "a floating-point number: use fixed point, replicas must agree to the bit")
}

FILENAME ~ /^(src|sim)\// && FILENAME !~ /^src\/base\/amount\.[ch]$/ && code ~ /credits/ {
    line = code
    gsub(/->/, ".", line)
    gsub(/[ ]+/, "", line)
    gsub(/\[[^\]]*\]/, "", line) # places in a table may be reckoned
    operator = "(\\+|-|\\*|\\/|%|<<|>>)"
    if (line ~ "\\.credits(" operator "|\\+\\+|--)" || line ~ operator "=?\\(?[A-Za-z_][A-Za-z0-9_.]*\\.credits" ||
        line ~ "(\\+\\+|--)[A-Za-z_][A-Za-z0-9_.]*\\.credits")
        hit("amount", "arithmetic on credits: use amount_add, amount_sub, amount_mul or amount_scale_*, which tell of overflow")
}

folder != "" && folder != "net" && code ~ socket_call {
    hit("sockets", "only src/net opens sockets: use its functions")
}

folder == "proto" && code ~ clock_call {
    hit("proto-clock", "src/proto has no clock: take the time as an argument")
}

FILENAME ~ /^tests\// && code ~ sleep_call {
    hit("sleep", "a test must not sleep: wait for what it needs (a line, a descriptor, a reply)")
}
