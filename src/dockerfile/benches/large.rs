//! How long a large Dockerfile takes: `cargo bench -p stratum-dockerfile`. Prints milliseconds, the best of five.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and stops at the first surprise")]

use std::time::Instant;

use stratum_dockerfile::check::{Surroundings, check};
use stratum_dockerfile::{Arguments, parse, stages};

const RUNS: usize = 5;

/// A Dockerfile of `lines` lines in the mixture that real ones have.
fn mixed(lines: usize) -> String {
    const BLOCK: &str = "# why this is here\nRUN --mount=type=cache,target=/var/cache dnf -y install \\\n      one two \\\n      \
                         three && \\\n    dnf clean all\nENV PATH=$PATH:/opt/bin NAME=\"a value\" \\\n    OTHER='b'\nCOPY --chown=1:1 \
                         src/a src/b /opt/\nRUN <<EOF\nset -e\necho $HOME\nEOF\nLABEL a.b=\"c d\" e=f\nCMD [\"a\", \"b\"]\n\n";
    let count = BLOCK.lines().count();
    format!("FROM base:1 AS one\n{}", BLOCK.repeat(lines.div_ceil(count)))
}

/// As many stages, each built on the one before it and copying from another one.
fn chained(count: usize) -> String {
    let stage = |n: usize| {
        let before = n.saturating_sub(1);
        let base = if n == 0 { "base:1".to_owned() } else { format!("s{before}") };
        let copy = if n == 0 { String::new() } else { format!("COPY --from=s{} /a /b\n", n / 2) };
        format!("FROM {base} AS s{n}\nARG A{n}=1\nENV E{n}=$A{n}\n{copy}RUN make $E{n}\n")
    };
    (0..count).map(stage).collect()
}

fn measure(name: &str, run: impl Fn()) {
    let once = || {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    let best = (0..RUNS).map(|_| once()).min().unwrap_or_default();
    println!("{name}: {:.2} ms", best.as_secs_f64() * 1000.0);
}

fn main() {
    let none = |_: &str| None;
    let arguments = Arguments { build: &none, platform: &none };
    let large = mixed(10_000);
    println!("{} lines, {} bytes", large.lines().count(), large.len());
    measure("parse 10,000 lines", || drop(parse(&large).unwrap()));
    let file = parse(&large).unwrap();
    let around = Surroundings { arguments, ignore: None, is_image: &|_| true, base: &|_| None };
    measure("check 10,000 lines", || drop(check(&file, around).unwrap()));
    let many = chained(1000);
    measure("parse 1,000 stages", || drop(parse(&many).unwrap()));
    let file = parse(&many).unwrap();
    measure("stages and resolve 1,000 stages", || drop(stages(&file).unwrap().resolve(arguments).unwrap()));
    measure("check 1,000 stages", || drop(check(&file, around).unwrap()));
}
