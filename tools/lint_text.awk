# tools/lint_text.awk - the rules of tools/lint that hold for every text file.
# Prints "file:line: rule: what, and what to do" for each finding.

function hit(rule, text) { print FILENAME ":" FNR ": " rule ": " text }

# The headings of a document, read once: heading[document, text].
function read_headings(document,    line, fenced)
{
    known[document] = 1
    while ((getline line <document) > 0) {
        there[document] = 1
        if (line ~ /^```/)
            fenced = !fenced
        if (!fenced && sub(/^#+ +/, "", line)) {
            gsub(/`/, "", line)
            sub(/ +$/, "", line)
            heading[document, line] = 1
        }
    }
    close(document)
}

# Is there such a file or folder?
function exists(path) { return system("test -e '" path "'") == 0 }

FNR == 1 {
    pending = ""
    fenced = 0
    is_c = FILENAME ~ /\.(c|h|def)$/
    is_code = FILENAME ~ /\.(c|h|def|mjs|js|sh|awk|py)$/ || FILENAME ~ /^tools\/[^.]*$/
    is_ours = FILENAME ~ /^(src|sim|tests|tools|web|contracts|bench)\//
}

is_code && FNR == lines_max + 1 {
    hit("length", "more than " lines_max " lines: two ideas may not share a file")
}

# A reference may run over the end of a line of comment: what a line leaves open stays pending.
/docs\/[a-z_]+\.md/ || pending != "" {
    line = $0
    sub(/^[ \t]*(\*|#|\/\/|\/\*)?[ \t]*/, "", line)
    line = (pending == "" ? "" : pending " ") line
    gsub(/`/, "", line)
    while (match(line, /docs\/[a-z_]+\.md, "[^"]+"/)) {
        reference = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART + RLENGTH)
        document = wanted = reference
        sub(/,.*/, "", document)
        sub(/^[^"]*"/, "", wanted)
        sub(/"$/, "", wanted)
        if (!(document in known))
            read_headings(document)
        if (!(document in there))
            hit("headings", document " does not exist: write it, or name the document that has the rule")
        else if (!((document, wanted) in heading))
            hit("headings", document " has no heading \"" wanted "\": correct the name here or there")
    }
    pending = match(line, /docs\/[a-z_]+\.md(,( "[^"]*)?)?$/) ? substr(line, RSTART) : ""
}

FILENAME ~ /\.md$/ && /^```/ { fenced = !fenced }
FILENAME ~ /\.md$/ && !fenced {
    line = $0
    while (match(line, /\]\([^)# ]+/)) {
        target = substr(line, RSTART + 2, RLENGTH - 2)
        line = substr(line, RSTART + RLENGTH)
        from = FILENAME
        if (!sub(/\/[^\/]*$/, "/", from))
            from = ""
        if (target !~ /^[a-z]+:/ && target !~ /'/ && !exists(from target))
            hit("links", "leads to " from target ", which does not exist")
    }
}

is_ours && /(^|[^A-Za-z0-9_])(TO[D]O|FIX[M]E|X[X]X|HAC[K])([^A-Za-z0-9_]|$)/ {
    hit("unfinished", "finish it, or refuse it by name")
}
is_ours && /not (yet )?implem[e]nted|unimplem[e]nted/ {
    hit("unfinished", "finish it, or refuse it by name")
}

/(^|[^A-Za-z0-9_.$})\/*-])\/(work|root|home)\/[A-Za-z0-9_.]/ {
    hit("machine-path", "a path of one machine: take it from an argument, or make it relative")
}

is_c && /\t/ { hit("blanks", "a tab: four spaces") }
/\r$/ { hit("blanks", "a carriage return: lines end with a newline alone") }
/[ \t]$/ && FILENAME !~ /\.md$/ { hit("blanks", "blanks at the end of the line: remove them") }

# until.mjs alone asks again after a pause, within a bound, for what no line announces.
FILENAME ~ /^tests\// && FILENAME != "tests/e2e/lib/until.mjs" && /timers\/promises|await new Promise\([^)]*\) => setTimeout|(^|[;&|({]|do|then|else)[ \t]*sleep [0-9$]/ {
    hit("sleep", "a test must not sleep: wait for what it needs (a line, a reply, an exit)")
}
