//! A page of metrics: families as plain data, and their text in the two forms that scrapers ask for.

use super::counts::{EDGES, HistogramTotals};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// Names and values that tell one sample of a family from another.
pub type Labels = Vec<(&'static str, String)>;

/// Everything that one scrape shows.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
    samples: Vec<(Labels, Sample)>,
}

#[derive(Debug)]
enum Sample {
    Count(u64),
    Amount(f64),
    Level(f64),
    Histogram(HistogramTotals),
    Info,
}

/// The samples of a family while they are gathered.
#[derive(Debug, Default)]
pub struct Samples(Vec<(Labels, Sample)>);

impl Samples {
    /// A whole number that only grows.
    pub fn count(&mut self, labels: Labels, value: u64) {
        self.0.push((labels, Sample::Count(value)));
    }

    /// A number that only grows.
    pub fn amount(&mut self, labels: Labels, value: f64) {
        self.0.push((labels, Sample::Amount(value)));
    }

    /// A number that comes and goes.
    pub fn level(&mut self, labels: Labels, value: f64) {
        self.0.push((labels, Sample::Level(value)));
    }

    pub fn histogram(&mut self, labels: Labels, totals: HistogramTotals) {
        self.0.push((labels, Sample::Histogram(totals)));
    }

    /// A fact in the labels.
    pub fn info(&mut self, labels: Labels) {
        self.0.push((labels, Sample::Info));
    }
}

impl Page {
    /// Adds a family, unless it has no sample. The unit becomes the end of the name, and a counter's `_total` comes of
    /// itself. All samples of a family are of one kind.
    pub fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        unit: Option<Unit>,
        gather: impl FnOnce(&mut Samples),
    ) {
        let mut samples = Samples::default();
        gather(&mut samples);
        let Samples(samples) = samples;
        let Some((_, first)) = samples.first() else { return };
        let kind = match first {
            Sample::Count(_) | Sample::Amount(_) => MetricType::Counter,
            Sample::Level(_) => MetricType::Gauge,
            Sample::Histogram(_) => MetricType::Histogram,
            Sample::Info => MetricType::Info,
        };
        self.families.push(Family { name, help, unit, kind, samples });
    }

    /// The text in the OpenMetrics form.
    pub fn openmetrics(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut out = String::new();
        text::encode(&mut out, &registry)?;
        Ok(out)
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.families {
            let mut metric = encoder.encode_descriptor(family.name, family.help, family.unit.as_ref(), family.kind)?;
            for (labels, sample) in &family.samples {
                match sample {
                    Sample::Info => metric.encode_info(labels)?,
                    sample if labels.is_empty() => write_sample(&mut metric, sample)?,
                    sample => write_sample(&mut metric.encode_family(labels)?, sample)?,
                }
            }
        }
        Ok(())
    }
}

fn write_sample(metric: &mut MetricEncoder<'_>, sample: &Sample) -> Result<(), fmt::Error> {
    match sample {
        Sample::Count(value) => metric.encode_counter::<NoLabelSet, u64, f64>(value, None),
        Sample::Amount(value) => metric.encode_counter::<NoLabelSet, f64, f64>(value, None),
        Sample::Level(value) => metric.encode_gauge(value),
        Sample::Histogram(totals) => {
            let edges = EDGES.iter().map(|edge| *edge as f64 / 1e6).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = edges.zip(totals.buckets).collect();
            metric.encode_histogram::<NoLabelSet>(totals.seconds, totals.count(), &buckets, None)
        }
        Sample::Info => Ok(()),
    }
}

/// The older text form of Prometheus, for scrapers that do not ask for OpenMetrics: there the declared name of a
/// counter ends like its samples, and units and the end of the page are not declared.
pub fn classic(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(declared) = line.strip_prefix("# HELP ") {
            help = declared.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|declared| declared.split_once(' ')) {
            let (end, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            if let Some((_, text)) = help.take() {
                out.push_str(&format!("# HELP {name}{end} {text}\n"));
            }
            out.push_str(&format!("# TYPE {name}{end} {kind}\n"));
        } else if !line.starts_with("# ") {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::counts::Histogram;
    use super::*;
    use std::time::Duration;

    fn page() -> Page {
        let mut page = Page::default();
        page.add("t_rows", "Rows.", None, |samples| {
            samples.count(vec![("source", "a\"b\\c\nd".to_owned())], 3);
        });
        page.add("t_log", "The log.", Some(Unit::Bytes), |samples| samples.level(Vec::new(), 7.0));
        page.add("t_nothing", "No sample, no family.", None, |_| {});
        page.add("t_build", "The build.", None, |samples| samples.info(vec![("version", "1".to_owned())]));
        page.add("t_wait", "Waits.", Some(Unit::Seconds), |samples| {
            let histogram = Histogram::default();
            histogram.observe(Duration::from_millis(1));
            samples.histogram(Vec::new(), histogram.totals());
        });
        page
    }

    #[test]
    fn names_units_and_escapes() {
        let text = page().openmetrics().unwrap();
        assert!(text.contains("t_rows_total{source=\"a\\\"b\\\\c\\nd\"} 3\n"), "{text}");
        assert!(text.contains("# UNIT t_log_bytes bytes\nt_log_bytes 7.0\n"), "{text}");
        assert!(text.contains("t_build_info{version=\"1\"} 1\n"), "{text}");
        assert!(text.contains("t_wait_seconds_bucket{le=\"+Inf\"} 1\n"), "{text}");
        assert!(text.contains("t_wait_seconds_count 1\n") && text.ends_with("# EOF\n"), "{text}");
        assert!(!text.contains("t_nothing"), "{text}");
    }

    #[test]
    fn the_older_form_declares_what_its_samples_are_called() {
        let text = classic(&page().openmetrics().unwrap());
        assert!(text.starts_with("# HELP t_rows_total Rows.\n# TYPE t_rows_total counter\nt_rows_total{"), "{text}");
        assert!(text.contains("# TYPE t_build_info gauge\n"), "{text}");
        assert!(text.contains("# TYPE t_log_bytes gauge\nt_log_bytes 7.0\n"), "{text}");
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
    }
}
