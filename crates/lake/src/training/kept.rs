//! Views that are done, kept under the set's id until all of it is: a build that was stopped goes on from there.

use super::gather::ViewTask;
use super::{OtherAnswers, ViewAnswers};
use crate::error::{LakeError, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType as ArrowType, Field, Schema, UInt8Type};
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) struct Kept {
    directory: PathBuf,
}

/// In the file of a view: whether the other values of a row differ.
const CHANGED: &str = "changed";

impl Kept {
    pub(super) fn open(work_dir: &Path, id: &str) -> Result<Self> {
        let directory = work_dir.join(id);
        std::fs::create_dir_all(&directory)
            .map_err(|error| LakeError::Storage(format!("work directory `{}`: {error}", directory.display())))?;
        Ok(Self { directory })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The answers of a view, where an earlier build came so far.
    pub(super) fn load(&self, task: &ViewTask<'_>) -> Result<Option<ViewAnswers>> {
        let path = self.path(task);
        if !path.exists() {
            return Ok(None);
        }
        let reader = FileReader::try_new(File::open(path)?, None)?;
        let schema = reader.schema();
        let batches = reader.collect::<std::result::Result<Vec<RecordBatch>, _>>()?;
        let batch = concat_batches(&schema, &batches)?;
        let all = |kind: &str| -> Option<Vec<ArrayRef>> {
            task.outputs.iter().map(|output| batch.column_by_name(&format!("{kind}.{output}")).cloned()).collect()
        };
        let (Some(values), Some(statuses)) = (all("value"), all("status")) else { return Ok(None) };
        let other = all("other").zip(batch.column_by_name(CHANGED)).map(|(values, changed)| {
            let changed = changed.as_boolean();
            let rows = (0..changed.len()).filter(|row| changed.value(*row)).map(|row| row as u32).collect();
            OtherAnswers { values, rows }
        });
        let statuses = statuses.iter().map(|array| array.as_primitive::<UInt8Type>().clone()).collect();
        Ok(Some(ViewAnswers { values, statuses, other }))
    }

    pub(super) fn store(&self, task: &ViewTask<'_>, answers: &ViewAnswers) -> Result<()> {
        let mut columns: Vec<(String, ArrayRef)> = Vec::new();
        for (output, values) in task.outputs.iter().zip(&answers.values) {
            columns.push((format!("value.{output}"), values.clone()));
        }
        for (output, statuses) in task.outputs.iter().zip(&answers.statuses) {
            columns.push((format!("status.{output}"), Arc::new(statuses.clone())));
        }
        if let Some(other) = &answers.other {
            for (output, values) in task.outputs.iter().zip(&other.values) {
                columns.push((format!("other.{output}"), values.clone()));
            }
            let rows = answers.values.first().map_or(0, |values| values.len());
            let mut changed = vec![false; rows];
            other.rows.iter().for_each(|row| changed[*row as usize] = true);
            columns.push((CHANGED.to_owned(), Arc::new(BooleanArray::from(changed))));
        }
        let field = |(name, array): &(String, ArrayRef)| -> Field {
            let data_type: ArrowType = array.data_type().clone();
            Field::new(name, data_type, true)
        };
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect())?;
        // The name appears when the file is whole, so that a crash leaves nothing that looks done.
        let part = self.directory.join(format!("view-{}.part", task.view.name));
        let mut writer = FileWriter::try_new(File::create(&part)?, &batch.schema())?;
        writer.write(&batch)?;
        writer.finish()?;
        std::fs::rename(&part, self.path(task))?;
        Ok(())
    }

    /// Removes everything: the set is complete.
    pub(super) fn remove(self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, directory = %self.directory.display(), "work directory stays behind");
        }
    }

    fn path(&self, task: &ViewTask<'_>) -> PathBuf {
        self.directory.join(format!("view-{}.arrow", task.view.name))
    }
}
