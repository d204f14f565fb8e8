//! Every row once and the position right, whatever the object store beneath does and whenever the process dies.

use crate::faulty_store::{Faults, FaultyStore, Random};
use crate::support::{batch, column, integers, numbers, orders, texts, times};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use thalweg_definition::{DataType, Source};
use thalweg_lake::{ARRIVAL, History, ReadRequest, Result, SEQUENCE};

const CASES: u64 = 3;
const STEPS: u64 = 24;
const DAYS: i64 = 5;

/// A row as it is read: its sequence, its amount, and the columns that were added, in their order.
type Row = (i64, f64, Vec<Option<f64>>);

/// A row that was appended, and how many columns had been added by then.
#[derive(Debug, Clone, Copy)]
struct Appended {
    sequence: i64,
    columns: usize,
}

/// What has to be in the table, and the objects that hold it.
struct World {
    objects: Arc<InMemory>,
    random: Random,
    /// One operation of the store out of so many fails.
    one_in: u64,
    source: Source,
    added: usize,
    rows: Vec<Appended>,
    position: u64,
    history: History,
    faults: Arc<Faults>,
    counted: Counted,
}

#[derive(Debug, Default)]
struct Counted {
    appends: u64,
    maintained: u64,
    failures: u64,
    deaths: u64,
}

enum Outcome<T> {
    Done(T),
    Failed,
    Died,
}

fn hours(sequence: i64) -> f64 {
    ((sequence * 37) % (DAYS * 24)) as f64
}

fn day(sequence: i64) -> i32 {
    (hours(sequence) / 24.0) as i32
}

fn added_column(number: usize) -> String {
    format!("added_{number}")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let objects = Arc::new(InMemory::new());
        let one_in = 10 + random.below(60);
        let (history, faults) = started(&objects, random.below(u64::MAX), one_in);
        let (source, counted) = (orders(), Counted::default());
        Self { objects, random, one_in, source, added: 0, rows: Vec::new(), position: 0, history, faults, counted }
    }

    async fn step(&mut self) {
        match self.random.below(12) {
            0 => {
                let name = added_column(self.added);
                self.source.columns.push(column(&name, DataType::Float64, false));
                self.added += 1;
                self.append().await;
            }
            1..=6 => self.append().await,
            7 | 8 => {
                let done = tried(&self.faults, self.history.compact("orders")).await;
                self.maintained(&done);
            }
            9 => {
                let done = tried(&self.faults, self.history.vacuum("orders", Duration::ZERO)).await;
                self.maintained(&done);
            }
            10 => self.delete().await,
            _ => self.read().await,
        }
        if self.faults.is_dead() {
            self.counted.deaths += 1;
            self.counted.failures += self.faults.failed.load(Ordering::Relaxed);
            (self.history, self.faults) = started(&self.objects, self.random.below(u64::MAX), self.one_in);
        }
    }

    /// Appends some rows, behind others that may be in the table already.
    async fn append(&mut self) {
        let first = self.position.saturating_sub(self.random.below(4));
        let next = self.position + 1 + self.random.below(20);
        let rows = self.batch(first as i64, next as i64);
        let sort_by = ["user_id".to_owned()];
        let appending = self.history.append(&self.source, vec![rows], next, &sort_by);
        let landed = match tried(&self.faults, appending).await {
            Outcome::Done(_) => true,
            Outcome::Failed | Outcome::Died => {
                let found = self.restarted().position("orders").await.unwrap().unwrap_or(0);
                assert!([self.position, next].contains(&found), "position {found}, not {} or {next}", self.position);
                found == next
            }
        };
        if landed {
            let columns = self.added;
            let new = (self.position..next).map(|sequence| Appended { sequence: sequence as i64, columns });
            self.rows.extend(new);
            self.position = next;
            self.counted.appends += 1;
        }
    }

    async fn delete(&mut self) {
        let date = self.random.below(DAYS as u64) as i32;
        let kept: Vec<Appended> = self.rows.iter().copied().filter(|row| day(row.sequence) >= date).collect();
        let done = tried(&self.faults, self.history.delete_before("orders", date)).await;
        self.maintained(&done);
        let gone = match done {
            Outcome::Done(_) => true,
            Outcome::Failed | Outcome::Died => self.stored().await.len() == kept.len(),
        };
        if gone {
            self.rows = kept;
        }
    }

    /// A read while operations fail gives all rows or an error.
    async fn read(&mut self) {
        let expected = self.expected();
        if let Outcome::Done(rows) = tried(&self.faults, read(&self.history, &self.source, self.added)).await {
            assert_eq!(rows, expected, "a read over failing operations");
        }
    }

    fn maintained<T>(&mut self, done: &Outcome<T>) {
        self.counted.maintained += u64::from(matches!(done, Outcome::Done(_)));
    }

    async fn check(&self) {
        let found = self.restarted().position("orders").await.unwrap();
        assert_eq!(found.unwrap_or(0), self.position, "the position");
        assert_eq!(self.stored().await, self.expected(), "the rows");
    }

    /// The rows as a process finds them to which nothing happens.
    async fn stored(&self) -> Vec<Row> {
        read(&self.restarted(), &self.source, self.added).await.unwrap()
    }

    fn restarted(&self) -> History {
        started(&self.objects, 0, 0).0
    }

    fn expected(&self) -> Vec<Row> {
        let value = |row: &Appended, number: usize| {
            let value = (row.sequence + number as i64) as f64;
            (number < row.columns).then_some(value)
        };
        let as_read = |row: &Appended| -> Row {
            let added = (0..self.added).map(|number| value(row, number)).collect();
            (row.sequence, row.sequence as f64 / 2.0, added)
        };
        self.rows.iter().map(as_read).collect()
    }

    fn batch(&self, first: i64, next: i64) -> RecordBatch {
        let rows: Vec<i64> = (first..next).collect();
        let at = times(&rows.iter().map(|sequence| Some(hours(*sequence))).collect::<Vec<_>>());
        let names: Vec<String> = (0..self.added).map(added_column).collect();
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", texts(rows.iter().map(|sequence| Some(["a", "b", "c"][*sequence as usize % 3])))),
            ("at", at.clone()),
            ("amount", numbers(rows.iter().map(|sequence| Some(*sequence as f64 / 2.0)))),
            (ARRIVAL, at),
            (SEQUENCE, integers(rows.iter().copied())),
        ];
        for (number, name) in names.iter().enumerate() {
            columns.push((name.as_str(), numbers(rows.iter().map(|sequence| Some((sequence + number as i64) as f64)))));
        }
        batch(columns)
    }
}

/// A process's history over the objects.
fn started(objects: &Arc<InMemory>, seed: u64, one_in: u64) -> (History, Arc<Faults>) {
    let store = FaultyStore::new(objects.clone(), seed, one_in);
    let faults = store.faults.clone();
    (History::over(Arc::new(store), "memory:///history"), faults)
}

/// Waits for an operation as long as the process lives.
async fn tried<T>(faults: &Faults, operation: impl Future<Output = Result<T>>) -> Outcome<T> {
    tokio::select! {
        biased;
        () = faults.died.notified() => Outcome::Died,
        result = operation => match result {
            Ok(done) => Outcome::Done(done),
            Err(_) => Outcome::Failed,
        },
    }
}

/// All rows in the order of their sequences.
async fn read(history: &History, source: &Source, added: usize) -> Result<Vec<Row>> {
    let mut columns = vec![SEQUENCE.to_owned(), "amount".to_owned()];
    columns.extend((0..added).map(added_column));
    let request = ReadRequest { columns, ..ReadRequest::default() };
    let batches: Vec<RecordBatch> = history.read(source, &request).await?.try_collect().await?;
    let mut rows: Vec<Row> = Vec::new();
    for batch in &batches {
        let sequences = batch.column(0).as_primitive::<Int64Type>();
        let amounts = batch.column(1).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let value = |number: usize| {
                let array = batch.column(2 + number).as_primitive::<Float64Type>();
                array.is_valid(row).then(|| array.value(row))
            };
            rows.push((sequences.value(row), amounts.value(row), (0..added).map(value).collect()));
        }
    }
    rows.sort_by_key(|(sequence, ..)| *sequence);
    Ok(rows)
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_once_over_a_store_that_fails_and_processes_that_die() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let first = setting("THALWEG_SEED").unwrap_or(u64::from(now.subsec_nanos()));
    let mut counted = Counted::default();
    for seed in first..first + setting("THALWEG_CASES").unwrap_or(CASES) {
        println!("THALWEG_SEED={seed} THALWEG_CASES=1");
        let mut world = World::new(seed);
        for step in 0..STEPS {
            println!("step {step}");
            world.step().await;
            world.check().await;
        }
        counted.appends += world.counted.appends;
        counted.maintained += world.counted.maintained;
        counted.deaths += world.counted.deaths;
        counted.failures += world.counted.failures + world.faults.failed.load(Ordering::Relaxed);
    }
    println!("{counted:?}");
    assert!(counted.appends > 0 && counted.failures > 0, "nothing was tried: {counted:?}");
}
