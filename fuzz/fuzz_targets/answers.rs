//! Any bytes as what AWS answers.

#![no_main]

coalmine_fuzz::target!(coalmine_aws::probe::answers);
