//! Runs every scene, and says how often: `keepsync-shuttle [SCHEDULES]`, 20,000 of each without a number.

use keepsync_shuttle::{SCENES, run};
use std::{
    io::{self, Write},
    time::Instant,
};

fn main() -> io::Result<()> {
    let schedules = match std::env::args().nth(1) {
        Some(number) => number.parse().map_err(io::Error::other)?,
        None => 20_000,
    };
    let mut out = io::stdout().lock();
    let start = Instant::now();
    for (name, scene) in SCENES {
        let began = Instant::now();
        run(scene, schedules);
        writeln!(
            out,
            "{name}: {schedules} schedules, {:.1} s",
            began.elapsed().as_secs_f64()
        )?;
    }
    let all = schedules * SCENES.len();
    writeln!(
        out,
        "{all} schedules, nothing found, {:.1} s",
        start.elapsed().as_secs_f64()
    )
}
