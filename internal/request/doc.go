// Package request speaks the delivery request protocol: what the queue manager
// asks of a delivery agent and what the agent answers.
package request
