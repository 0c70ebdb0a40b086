//! Which rows of a file can belong to wanted series in range, by the statistics of row groups and pages.
//!
//! Files are sorted by (metric, series id, timestamp), so the pages of a series are neighbours and their minima
//! and maxima are tight. DataFusion's own page pruning could not do this: it gives up on long IN lists, and
//! knows nothing of the pair (metric, id).

use std::ops::Range;
use std::sync::Arc;

use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use crate::model::sample::TimeRange;
use crate::storage::types::Series;

/// The wanted series of one partition, sorted by (metric, id).
pub(super) struct Wanted<'a> {
    /// Parallel to `ids`.
    metrics: Vec<&'a str>,
    ids: Vec<i64>,
    range: TimeRange,
}

/// Bounds of (metric, id) over a piece of a file; `None` where the file does not say.
#[derive(Clone, Copy, Default)]
struct Bounds<'a> {
    metric: Option<(&'a [u8], &'a [u8])>,
    id: Option<(i64, i64)>,
}

impl<'a> Wanted<'a> {
    pub fn new(series: &'a [Arc<Series>], range: TimeRange) -> Self {
        let metrics = series.iter().map(|s| s.labels.metric()).collect();
        Self { metrics, ids: series.iter().map(|s| s.id).collect(), range }
    }

    fn any_series(&self, bounds: Bounds<'_>) -> bool {
        let (low, high) = match bounds.metric {
            None => (0, self.ids.len()),
            Some((min, max)) => (
                self.metrics.partition_point(|m| m.as_bytes() < min),
                self.metrics.partition_point(|m| m.as_bytes() <= max),
            ),
        };
        let Some((min, max)) = bounds.id else { return low < high };
        let ids = &self.ids[low..high];
        let one_metric = ids.is_empty() || self.metrics[low] == self.metrics[high - 1];
        if one_metric {
            return ids.get(ids.partition_point(|id| *id < min)).is_some_and(|id| *id <= max);
        }
        ids.iter().any(|id| min <= *id && *id <= max)
    }

    fn any_time(&self, (min, max): (i64, i64)) -> bool {
        self.range.overlaps(min, max)
    }
}

/// What a file's access plan leaves of it, for `EXPLAIN`. Pages are those of the timestamp column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pruned {
    pub pages_selected: usize,
    pub pages_total: usize,
    pub rows_selected: usize,
}

/// Positions of the columns that statistics are taken from.
pub(super) struct KeyColumns {
    metric: Option<usize>,
    id: Option<usize>,
    timestamp: Option<usize>,
    /// Timestamp statistics count in milliseconds (our own files), so they can be compared as they are.
    milliseconds: bool,
}

impl KeyColumns {
    pub fn of(parquet: &ParquetMetaData) -> Self {
        use parquet::basic::{LogicalType, TimeUnit};
        let schema = parquet.file_metadata().schema_descr();
        let position = |name: &str| schema.columns().iter().position(|c| c.path().string() == name);
        let timestamp = position("timestamp");
        let milliseconds = timestamp.is_some_and(|i| match schema.column(i).logical_type_ref() {
            Some(LogicalType::Timestamp(kind)) => kind.unit == TimeUnit::MILLIS,
            _ => false,
        });
        Self { metric: position("metric"), id: position("series_id"), timestamp, milliseconds }
    }
}

/// The access plan of one file for one partition, or `None` if nothing in it is wanted.
pub(super) fn access_plan(
    parquet: &ParquetMetaData,
    keys: &KeyColumns,
    wanted: &Wanted<'_>,
) -> (Option<ParquetAccessPlan>, Pruned) {
    let mut pruned = Pruned::default();
    let groups = (0..parquet.num_row_groups())
        .map(|group| {
            let pages = Pages::new(parquet, group, keys);
            pruned.pages_total += pages.timestamp.len();
            let access = group_access(parquet.row_group(group), keys, &pages, wanted);
            let rows = match &access {
                RowGroupAccess::Skip => 0,
                RowGroupAccess::Scan => parquet.row_group(group).num_rows() as usize,
                RowGroupAccess::Selection(selection) => selection.row_count(),
            };
            pruned.pages_selected += pages.touched_by(&access);
            pruned.rows_selected += rows;
            access
        })
        .collect();
    let plan = (pruned.rows_selected > 0).then(|| ParquetAccessPlan::new(groups));
    (plan, pruned)
}

fn group_access(
    group: &RowGroupMetaData,
    keys: &KeyColumns,
    pages: &Pages<'_>,
    wanted: &Wanted<'_>,
) -> RowGroupAccess {
    let chunk = |i: Option<usize>| i.map(|i| group.column(i));
    let bounds =
        Bounds { metric: chunk(keys.metric).and_then(byte_bounds), id: chunk(keys.id).and_then(int_bounds) };
    if !wanted.any_series(bounds) {
        return RowGroupAccess::Skip;
    }
    let time = chunk(keys.timestamp).filter(|_| keys.milliseconds).and_then(int_bounds);
    if time.is_some_and(|time| !wanted.any_time(time)) {
        return RowGroupAccess::Skip;
    }
    let by_series = pages.id.iter().map(|page| {
        let bounds = Bounds { metric: pages.metric_bounds(&page.rows), id: page.bounds };
        (page.rows.clone(), wanted.any_series(bounds))
    });
    let by_time = pages.timestamp.iter().map(|page| {
        let keep = !keys.milliseconds || page.bounds.is_none_or(|bounds| wanted.any_time(bounds));
        (page.rows.clone(), keep)
    });
    let rows = group.num_rows() as usize;
    let selection = match (selection(by_series, rows), selection(by_time, rows)) {
        (None, None) => return RowGroupAccess::Scan,
        (Some(one), None) | (None, Some(one)) => one,
        (Some(a), Some(b)) => a.intersection(&b),
    };
    match selection.row_count() {
        0 => RowGroupAccess::Skip,
        selected if selected == rows => RowGroupAccess::Scan,
        _ => RowGroupAccess::Selection(selection),
    }
}

/// `None` where the file has no page index: everything is wanted.
fn selection(pages: impl Iterator<Item = (Range<usize>, bool)>, rows: usize) -> Option<RowSelection> {
    let selectors: Vec<RowSelector> = pages
        .map(|(rows, keep)| match keep {
            true => RowSelector::select(rows.len()),
            false => RowSelector::skip(rows.len()),
        })
        .collect();
    let covered: usize = selectors.iter().map(|s| s.row_count).sum();
    (covered == rows).then(|| selectors.into())
}

struct Page<B> {
    rows: Range<usize>,
    bounds: Option<B>,
}

/// The pages of the key columns of one row group. Empty where there is no page index.
struct Pages<'a> {
    metric: Vec<Page<(&'a [u8], &'a [u8])>>,
    id: Vec<Page<(i64, i64)>>,
    timestamp: Vec<Page<(i64, i64)>>,
}

impl<'a> Pages<'a> {
    fn new(parquet: &'a ParquetMetaData, group: usize, keys: &KeyColumns) -> Self {
        let ints = |index: &'a ColumnIndexMetaData, page: usize| match index {
            ColumnIndexMetaData::INT64(index) => Some((*index.min_value(page)?, *index.max_value(page)?)),
            _ => None,
        };
        let bytes = |index: &'a ColumnIndexMetaData, page: usize| match index {
            ColumnIndexMetaData::BYTE_ARRAY(index) => Some((index.min_value(page)?, index.max_value(page)?)),
            _ => None,
        };
        Self {
            metric: column_pages(parquet, group, keys.metric, bytes),
            id: column_pages(parquet, group, keys.id, ints),
            timestamp: column_pages(parquet, group, keys.timestamp, ints),
        }
    }

    /// Bounds of the metric over some rows: the first page that has any of them gives the minimum, as the
    /// file is sorted, and the last one the maximum.
    fn metric_bounds(&self, rows: &Range<usize>) -> Option<(&'a [u8], &'a [u8])> {
        let first = self.metric.partition_point(|page| page.rows.end <= rows.start);
        let after = self.metric.partition_point(|page| page.rows.start < rows.end);
        if first >= after {
            return None;
        }
        Some((self.metric[first].bounds?.0, self.metric[after - 1].bounds?.1))
    }

    fn touched_by(&self, access: &RowGroupAccess) -> usize {
        match access {
            RowGroupAccess::Skip => 0,
            RowGroupAccess::Scan => self.timestamp.len(),
            RowGroupAccess::Selection(selection) => {
                let mut selected = Vec::new();
                let mut row = 0;
                for selector in selection.iter() {
                    if !selector.skip {
                        selected.push(row..row + selector.row_count);
                    }
                    row += selector.row_count;
                }
                let touched = |page: &Range<usize>| {
                    let next = selected.partition_point(|s| s.end <= page.start);
                    selected.get(next).is_some_and(|s| s.start < page.end)
                };
                self.timestamp.iter().filter(|page| touched(&page.rows)).count()
            }
        }
    }
}

fn column_pages<'a, B>(
    parquet: &'a ParquetMetaData,
    group: usize,
    column: Option<usize>,
    bounds: impl Fn(&'a ColumnIndexMetaData, usize) -> Option<B>,
) -> Vec<Page<B>> {
    let (Some(column), Some(indexes), Some(offsets)) = (column, parquet.column_index(), parquet.offset_index())
    else {
        return Vec::new();
    };
    let (Some(index), Some(offset)) =
        (indexes.get(group).and_then(|g| g.get(column)), offsets.get(group).and_then(|g| g.get(column)))
    else {
        return Vec::new();
    };
    let locations = offset.page_locations();
    let starts = locations.iter().map(|page| page.first_row_index as usize);
    let ends = starts.clone().skip(1).chain([parquet.row_group(group).num_rows() as usize]);
    starts
        .zip(ends)
        .enumerate()
        .map(|(page, (start, end))| Page { rows: start..end, bounds: bounds(index, page) })
        .collect()
}

fn int_bounds(chunk: &ColumnChunkMetaData) -> Option<(i64, i64)> {
    match chunk.statistics()? {
        Statistics::Int64(statistics) => Some((*statistics.min_opt()?, *statistics.max_opt()?)),
        _ => None,
    }
}

fn byte_bounds(chunk: &ColumnChunkMetaData) -> Option<(&[u8], &[u8])> {
    match chunk.statistics()? {
        Statistics::ByteArray(statistics) => Some((statistics.min_opt()?.data(), statistics.max_opt()?.data())),
        _ => None,
    }
}
