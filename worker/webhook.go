package main

import (
	"errors"
	"os"

	"keywave/activities"
	"keywave/internal/notify"
)

// notices is the webhook that the environment names: its address and its secret
// are the orchestrator's alone, and stand in no history.
func notices() (*activities.Notices, error) {
	c := notify.Config{
		URL: os.Getenv("KEYWAVE_WEBHOOK_URL"), Format: os.Getenv("KEYWAVE_WEBHOOK_FORMAT"), Secret: os.Getenv("KEYWAVE_WEBHOOK_SECRET"),
	}
	if c.URL == "" {
		if c.Format != "" || c.Secret != "" {
			return nil, errors.New("KEYWAVE_WEBHOOK_FORMAT or KEYWAVE_WEBHOOK_SECRET is set, and KEYWAVE_WEBHOOK_URL is not")
		}
		return &activities.Notices{}, nil
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &activities.Notices{Notifier: notify.New(c)}, nil
}
