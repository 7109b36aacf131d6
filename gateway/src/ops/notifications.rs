//! Who is told of what happens in a bucket: rows of their own, because every change carries the
//! number of those that held when it was committed.

use holdfast_metadata::notification::NotificationRule as StoredRule;
use uuid::Uuid;

use super::Gateway;
use super::error::{Target, corrupt};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::{
    BucketInput, NotificationConfiguration, NotificationRule,
    PutBucketNotificationConfigurationInput, TargetArn, TargetKind,
};

impl Gateway {
    pub(super) async fn put_notifications(
        &self,
        input: PutBucketNotificationConfigurationInput,
        request_id: String,
    ) -> Result<(), S3Error> {
        let rules: Vec<StoredRule> = input
            .configuration
            .rules()
            .iter()
            .map(|rule| self.stored(rule))
            .collect::<Result<_, _>>()?;
        let test = (!input.skip_destination_validation).then_some(request_id);
        let missing = self
            .metadata
            .set_notifications(input.bucket.as_str(), rules.clone(), test)
            .await
            .map_err(|e| Target::bucket(&input.bucket).error(e))?;
        let absent = rules.iter().find(|rule| missing.contains(&rule.webhook));
        match absent {
            None => Ok(()),
            Some(rule) => {
                let kind = kind(rule)?;
                let reason = format!("The destination {} does not exist", kind.word());
                Err(unreachable_target(&rule.arn, reason))
            }
        }
    }

    pub(super) async fn get_notifications(
        &self,
        input: &BucketInput,
    ) -> Result<NotificationConfiguration, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        let rules = self.metadata.notifications(bucket.id).await;
        let rules = rules.map_err(|e| Target::bucket(&input.bucket).error(e))?;
        let shown = rules.into_iter().map(shown).collect::<Result<_, _>>()?;
        NotificationConfiguration::new(shown).map_err(corrupt)
    }

    fn stored(&self, rule: &NotificationRule) -> Result<StoredRule, S3Error> {
        let Some(arn) = TargetArn::parse(&rule.arn, rule.kind) else {
            let reason = "The ARN is not well formed: write arn:holdfast:sqs::NAME:webhook";
            return Err(unreachable_target(&rule.arn, reason.to_owned()));
        };
        if !arn.region.is_empty() && arn.region != self.region.as_str() {
            let reason = "The destination is in another region than the bucket";
            return Err(unreachable_target(&rule.arn, reason.to_owned()));
        }
        let id = rule.id.clone();
        Ok(StoredRule {
            id: id.unwrap_or_else(|| Uuid::new_v4().simple().to_string()),
            webhook: arn.webhook,
            webhook_number: 0,
            kind: rule.kind.service().to_owned(),
            arn: arn.text,
            events: rule.events.clone(),
            prefix: rule.prefix.clone(),
            suffix: rule.suffix.clone(),
        })
    }
}

fn kind(rule: &StoredRule) -> Result<TargetKind, S3Error> {
    TargetKind::of_service(&rule.kind).ok_or_else(|| S3Error::new(ErrorCode::InternalError))
}

fn shown(rule: StoredRule) -> Result<NotificationRule, S3Error> {
    Ok(NotificationRule {
        kind: kind(&rule)?,
        id: Some(rule.id),
        arn: rule.arn,
        events: rule.events,
        prefix: rule.prefix,
        suffix: rule.suffix,
    })
}

/// AWS's words and elements.
fn unreachable_target(arn: &str, reason: String) -> S3Error {
    let message = "Unable to validate the following destination configurations";
    S3Error::message(ErrorCode::InvalidArgument, message)
        .with("ArgumentName1", arn)
        .with("ArgumentValue1", reason)
}
