//! ItemBatcher: items of a distributed Map that go to a child together.

use super::distributed::positive;
use crate::failure::{Failure, reserved};
use crate::load::Fields;
use crate::query::{Reach, Template};
use crate::run::{Fault, LARGEST, Visit};
use crate::value::Value;

/// AWS's limit for `MaxInputBytesPerBatch`.
const MOST_BYTES: i64 = 262_144;

/// An ItemBatcher.
#[derive(Debug)]
pub(crate) struct Batcher {
    input: Option<Template>,
    most_items: Option<Template>,
    most_bytes: Option<Template>,
}

/// The inputs of the children, and how many items each has.
pub(crate) struct Batches {
    pub inputs: Vec<Value>,
    pub items: Vec<usize>,
}

impl Batcher {
    pub(crate) fn parse(fields: Fields<'_>) -> Self {
        let batcher = Self {
            input: fields.template("BatchInput", Reach::INPUT),
            most_items: fields.whole_or_path("MaxItemsPerBatch", "MaxItemsPerBatchPath", 1, i64::MAX),
            most_bytes: fields.whole_or_path(
                "MaxInputBytesPerBatch",
                "MaxInputBytesPerBatchPath",
                1,
                MOST_BYTES,
            ),
        };
        if batcher.most_items.is_none() && batcher.most_bytes.is_none() {
            let message = "'ItemBatcher' needs 'MaxItemsPerBatch' or 'MaxInputBytesPerBatch'";
            fields.invalid("MaxItemsPerBatch", message);
        }
        fields.finish(&[]);
        batcher
    }

    /// Puts items together, in their order.
    pub(crate) fn batches(&self, visit: &mut Visit<'_>, items: Vec<Value>) -> Result<Batches, Fault> {
        let (input, most_items, most_bytes) = visit.mapped(|scope| {
            let input = self.input.as_ref().map(|input| input.fill("ItemBatcher/BatchInput", scope));
            let most = self.most_items.as_ref().map(|most| {
                most.fill_as("ItemBatcher/MaxItemsPerBatch", "positive integer", scope, positive)
            });
            let bytes = self.most_bytes.as_ref().map(|most| {
                most.fill_as("ItemBatcher/MaxInputBytesPerBatch", "positive integer", scope, self::bytes)
            });
            Ok((input.transpose()?, most.transpose()?, bytes.transpose()?))
        })?;
        let (most_items, most_bytes) = (most_items.unwrap_or(usize::MAX), most_bytes.unwrap_or(LARGEST));
        let frame = batch(input.as_ref(), Vec::new()).json_len();
        let mut batches = Batches { inputs: Vec::new(), items: Vec::new() };
        let (mut open, mut size) = (Vec::new(), frame);
        for item in items {
            let length = item.json_len();
            let comma = usize::from(!open.is_empty());
            if !open.is_empty() && (open.len() == most_items || size + comma + length > most_bytes) {
                batches.close(input.as_ref(), std::mem::take(&mut open));
                size = frame;
            }
            size += usize::from(!open.is_empty()) + length;
            if size > most_bytes {
                let cause = format!("An item does not fit a batch of {most_bytes} bytes.");
                return Err(Failure::new(reserved::DATA_LIMIT_EXCEEDED, visit.sentence(&cause)).into());
            }
            open.push(item);
        }
        if !open.is_empty() {
            batches.close(input.as_ref(), open);
        }
        Ok(batches)
    }
}

impl Batches {
    fn close(&mut self, input: Option<&Value>, items: Vec<Value>) {
        self.items.push(items.len());
        self.inputs.push(batch(input, items));
    }
}

/// A child's input.
fn batch(input: Option<&Value>, items: Vec<Value>) -> Value {
    let input = input.map(|input| ("BatchInput".into(), input.clone()));
    input.into_iter().chain([("Items".into(), items.into())]).collect()
}

fn bytes(value: &Value) -> Option<usize> {
    positive(value).filter(|bytes| *bytes <= LARGEST)
}
