package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"geodns/internal/config"
	"geodns/internal/control"
)

// How long the commands wait for the server.
const (
	readPatience   = time.Minute
	reloadPatience = 30 * time.Minute
)

// remote is what the commands have in common that talk to the server that runs.
type remote struct {
	config string
	socket string
	output string
	named  bool // --config was given
}

// flags adds the flags; reads also have an output format.
func (r *remote) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.config, "config", defaultConfig, "the configuration `FILE` of the server, which names its control socket")
	cmd.Flags().StringVar(&r.socket, "socket", "", "the control socket's `PATH`, instead of the configuration's")
	cmd.Flags().StringVarP(&r.output, "output", "o", "text", "text or json")
}

// client returns a client for the server that the flags name.
func (r *remote) client(cmd *cobra.Command) (*control.Client, error) {
	if err := r.format(); err != nil {
		return nil, err
	}
	r.named = cmd.Flags().Changed("config")
	path, err := r.path()
	if err != nil {
		return nil, err
	}
	return control.NewClient(path), nil
}

// format refuses an output format that there is not.
func (r *remote) format() error {
	if r.output != "text" && r.output != "json" {
		return usageError{fmt.Errorf("--output %q is not known: it must be text or json", r.output)}
	}
	return nil
}

// path is the control socket's. Of the configuration only that has to be
// right which its text says: the files that it names may be the server's alone.
func (r *remote) path() (string, error) {
	if r.socket != "" {
		return r.socket, nil
	}
	data, err := os.ReadFile(r.config)
	if errors.Is(err, fs.ErrNotExist) && !r.named {
		return config.Default().Control, nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the configuration to find the control socket: %w; name the socket with --socket", err)
	}
	cfg, err := config.Parse(r.config, data)
	if err != nil {
		return "", err
	}
	if cfg.Control == "" {
		return "", fmt.Errorf("%s opens no control socket; set control: to a path and restart the server, or name a socket with --socket", r.config)
	}
	return cfg.Control, nil
}

// ctx bounds how long a command waits.
func (r *remote) ctx(cmd *cobra.Command, patience time.Duration) (context.Context, context.CancelFunc) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithTimeout(ctx, patience)
}
