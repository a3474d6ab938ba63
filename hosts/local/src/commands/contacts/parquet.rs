//! Contacts as Parquet, in row groups of bounded size.

use std::sync::Arc;

use contacts::{query::Page, stored::OptIn};
use parquet::{
    basic::Compression,
    column::writer::ColumnWriterImpl,
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

use super::super::output::{Output, failed};
use crate::exit::Exit;

const SCHEMA: &str = "
message contact {
  required binary email (STRING);
  required binary name (STRING);
  required boolean optIn;
  optional group interests (LIST) { repeated group list { required binary element (STRING); } }
  required int64 since (TIMESTAMP(MICROS,true));
  required binary source (STRING);
  required binary batchId (STRING);
  required int64 index;
  optional binary extra (JSON);
}";

/// Maximum number of contacts in a row group, and of bytes of their texts: a row group is in memory until it is written.
const GROUP_CONTACTS: usize = 20_000;
const GROUP_BYTES: usize = 16 << 20;

/// An export that is being written.
pub(super) struct ParquetExport {
    writer: SerializedFileWriter<Output>,
    group: Vec<OptIn>,
    bytes: usize,
}

impl ParquetExport {
    /// Begins a file.
    pub(super) fn new(output: Output) -> Result<Self, Exit> {
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(refused)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(output, schema, Arc::new(properties)).map_err(refused)?;
        Ok(Self { writer, group: Vec::new(), bytes: 0 })
    }

    /// Adds a page.
    pub(super) fn push(&mut self, page: Page) -> Result<(), Exit> {
        for (_, stored) in page.contacts {
            let contact = stored.statement;
            let interests = contact.interests.iter().flatten().map(String::len).sum::<usize>();
            let extra = contact.extra.as_ref().map_or(0, String::len);
            self.bytes += contact.name.len() + contact.email.len() + interests + extra;
            self.group.push(contact);
        }
        if self.group.len() >= GROUP_CONTACTS || self.bytes >= GROUP_BYTES {
            self.write_group().map_err(refused)?;
        }
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> Result<(), Exit> {
        if !self.group.is_empty() {
            self.write_group().map_err(refused)?;
        }
        self.writer.into_inner().map_err(refused)?.finish()
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let group = std::mem::take(&mut self.group);
        self.bytes = 0;
        let mut row_group = self.writer.next_row_group()?;
        let to = &mut row_group;
        texts(to, &group, |contact| contact.email.as_str().into())?;
        texts(to, &group, |contact| contact.name.as_str().into())?;
        values::<BoolType>(to, group.iter().map(|contact| contact.opt_in).collect())?;
        interests(to, &group)?;
        values::<Int64Type>(to, group.iter().map(|contact| contact.since.as_microsecond()).collect())?;
        texts(to, &group, |contact| contact.source.as_str().into())?;
        texts(to, &group, |contact| contact.batch_id.to_string().into_bytes().into())?;
        let indices = group.iter().map(|contact| i64::try_from(contact.index).unwrap_or(i64::MAX));
        values::<Int64Type>(to, indices.collect())?;
        let extra = group.iter().filter_map(|contact| Some(contact.extra.as_deref()?.into()));
        let levels: Vec<i16> = group.iter().map(|contact| i16::from(contact.extra.is_some())).collect();
        column::<ByteArrayType>(to, |writer| {
            writer.write_batch(&extra.collect::<Vec<ByteArray>>(), Some(&levels), None).map(|_| ())
        })?;
        row_group.close().map(|_| ())
    }
}

type Group<'a> = SerializedRowGroupWriter<'a, Output>;

fn column<T: DataType>(
    group: &mut Group<'_>,
    write: impl FnOnce(&mut ColumnWriterImpl<'_, T>) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    let next = group.next_column()?;
    let mut column = next.ok_or_else(|| ParquetError::General("the schema has fewer columns".into()))?;
    write(column.typed::<T>())?;
    column.close()
}

fn values<T: DataType>(group: &mut Group<'_>, values: Vec<T::T>) -> Result<(), ParquetError> {
    column::<T>(group, |writer| writer.write_batch(&values, None, None).map(|_| ()))
}

fn texts(
    group: &mut Group<'_>,
    contacts: &[OptIn],
    text: impl Fn(&OptIn) -> ByteArray,
) -> Result<(), ParquetError> {
    values::<ByteArrayType>(group, contacts.iter().map(text).collect())
}

/// Definition level 0: no list; 1: a list without items; 2: an item. Repetition level 1: an item after the first.
fn interests(group: &mut Group<'_>, contacts: &[OptIn]) -> Result<(), ParquetError> {
    let (mut items, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for contact in contacts {
        let all = contact.interests.as_deref();
        match all {
            None | Some([]) => {
                defined.push(i16::from(all.is_some()));
                repeated.push(0);
            }
            Some(all) => {
                for (at, interest) in all.iter().enumerate() {
                    items.push(ByteArray::from(interest.as_str()));
                    defined.push(2);
                    repeated.push(i16::from(at > 0));
                }
            }
        }
    }
    column::<ByteArrayType>(group, |writer| {
        writer.write_batch(&items, Some(&defined), Some(&repeated)).map(|_| ())
    })
}

fn refused(error: ParquetError) -> Exit {
    match error {
        ParquetError::External(error) => match error.downcast::<std::io::Error>() {
            Ok(error) => failed(&error),
            Err(error) => Exit::failed(format!("the output cannot be written: {error}")),
        },
        error => Exit::failed(format!("the output cannot be written: {error}")),
    }
}
