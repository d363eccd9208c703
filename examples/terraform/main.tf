# A function whose new versions are rolled out by Coalmine.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "coalmine_command" {
  description = "The output CommandFunction of Coalmine's stack."
  type        = string
}

variable "role" {
  description = "The ARN of the function's role."
  type        = string
}

resource "aws_lambda_function" "checkout" {
  function_name    = "checkout"
  runtime          = "python3.13"
  handler          = "app.handler"
  filename         = "code.zip"
  source_code_hash = filebase64sha256("code.zip")
  role             = var.role
  # A version for every change.
  publish = true
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.checkout.function_name
  function_version = aws_lambda_function.checkout.version

  lifecycle {
    # Made once; from then on both are Coalmine's. Without this every apply takes the weights away and gives the new version
    # all the traffic.
    ignore_changes = [function_version, routing_config]
  }
}

# Starts a rollout whenever there is a new version. The answer is in the result; the apply does not wait for the verdict.
resource "aws_lambda_invocation" "rollout" {
  function_name = var.coalmine_command
  triggers      = { version = aws_lambda_function.checkout.version }

  input = jsonencode({
    command = "start"
    by      = "terraform"
    spec = {
      coalmine = "v1"
      target = {
        lambda = {
          function = aws_lambda_alias.live.function_name
          alias    = aws_lambda_alias.live.name
        }
      }
      version = aws_lambda_function.checkout.version
      checks  = [{ errors = { tolerate = "0.5pt" } }]
    }
  })

  lifecycle {
    postcondition {
      condition     = !can(jsondecode(self.result).errors)
      error_message = "Coalmine refused the rollout: ${self.result}"
    }
  }
}
