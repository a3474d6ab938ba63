//! ItemBatcher: puts items of a distributed Map into batches, one for each child.

use crate::failure::{Failure, reserved};
use crate::load::Fields;
use crate::query::{EvaluationError, Scope, Template, Visibility};
use crate::run::{Fault, MAX_PAYLOAD_BYTES, Visit};
use crate::value::Value;

/// AWS's limit for `MaxInputBytesPerBatch`.
const MAX_BATCH_BYTES: i64 = 262_144;

#[derive(Debug)]
pub(crate) struct Batcher {
    input: Option<Template>,
    max_items: Option<Template>,
    max_bytes: Option<Template>,
}

/// The inputs of the children, and the number of items in each.
pub(crate) struct Batches {
    pub inputs: Vec<Value>,
    pub items: Vec<usize>,
}

impl Batcher {
    pub(crate) fn parse(fields: Fields<'_>) -> Self {
        let batcher = Self {
            input: fields.template("BatchInput", Visibility::INPUT),
            max_items: fields.map_number("MaxItemsPerBatch", "MaxItemsPerBatchPath", 0, i64::MAX),
            max_bytes: fields.map_number(
                "MaxInputBytesPerBatch",
                "MaxInputBytesPerBatchPath",
                0,
                MAX_BATCH_BYTES,
            ),
        };
        if batcher.max_items.is_none() && batcher.max_bytes.is_none() {
            let message = "'ItemBatcher' needs 'MaxItemsPerBatch' or 'MaxInputBytesPerBatch'";
            fields.invalid("MaxItemsPerBatch", message);
        }
        fields.finish(&[]);
        batcher
    }

    /// Evaluates the numbers that are given by a path.
    pub(super) fn read_numbers(&self, scope: &mut Scope<'_>) -> Result<(), EvaluationError> {
        let by_path = |template: &&Template| template.is_path();
        limit(self.max_items.as_ref().filter(by_path), "MaxItemsPerBatch", scope)?;
        limit(self.max_bytes.as_ref().filter(by_path), "MaxInputBytesPerBatch", scope)?;
        Ok(())
    }

    /// Puts items into batches, in their order.
    pub(crate) fn batches(&self, visit: &mut Visit<'_>, items: Vec<Value>) -> Result<Batches, Fault> {
        let (input, max_items, max_bytes) = visit.evaluate_in_map(|scope| {
            let input = self.input.as_ref().map(|input| input.fill("ItemBatcher/BatchInput", scope));
            let most = limit(self.max_items.as_ref(), "MaxItemsPerBatch", scope)?;
            let bytes = limit(self.max_bytes.as_ref(), "MaxInputBytesPerBatch", scope)?;
            Ok((input.transpose()?, most, bytes))
        })?;
        let max_items = max_items.unwrap_or(usize::MAX);
        let max_bytes = max_bytes.map_or(MAX_PAYLOAD_BYTES, |most| most.min(MAX_PAYLOAD_BYTES));
        let frame = batch(input.as_ref(), Vec::new()).json_len();
        let mut batches = Batches { inputs: Vec::new(), items: Vec::new() };
        let (mut open, mut size) = (Vec::new(), frame);
        for item in items {
            let length = item.json_len();
            let comma = usize::from(!open.is_empty());
            if !open.is_empty() && (open.len() == max_items || size + comma + length > max_bytes) {
                batches.close(input.as_ref(), std::mem::take(&mut open));
                size = frame;
            }
            size += usize::from(!open.is_empty()) + length;
            if size > max_bytes {
                let cause = format!("An item does not fit a batch of {max_bytes} bytes.");
                return Err(Failure::new(reserved::DATA_LIMIT_EXCEEDED, visit.cause_in_state(&cause)).into());
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

/// The input of the child with these items.
fn batch(input: Option<&Value>, items: Vec<Value>) -> Value {
    let input = input.map(|input| ("BatchInput".into(), input.clone()));
    input.into_iter().chain([("Items".into(), items.into())]).collect()
}

/// A limit of a batch. Zero means no limit.
fn limit(
    template: Option<&Template>,
    field: &str,
    scope: &mut Scope<'_>,
) -> Result<Option<usize>, EvaluationError> {
    let Some(template) = template else {
        return Ok(None);
    };
    let most = template.fill_count(&format!("ItemBatcher/{field}"), "positive integer", scope)?;
    let negative = |_| EvaluationError::runtime(format!("{field} cannot be negative."));
    usize::try_from(most).map(|most| (most > 0).then_some(most)).map_err(negative)
}
