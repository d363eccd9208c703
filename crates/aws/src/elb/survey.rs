//! What stands around the rules, at the start.

use coalmine_core::observation::Surroundings;
use coalmine_core::ports::LookError;
use coalmine_core::spec::AlbTarget;

use crate::Aws;

impl Aws {
    pub(crate) async fn surroundings(&self, target: &AlbTarget) -> Result<Surroundings, LookError> {
        let _ = self.configured(target).await?;
        Ok(Surroundings::default())
    }
}
