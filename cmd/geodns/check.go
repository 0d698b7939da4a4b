package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"geodns/internal/config"
	"geodns/internal/wire"
	"geodns/internal/zonedir"
)

func newCheck() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check [ZONEFILE...]",
		Short: "Check the configuration and its zones, or zone files, as serve would read them",
		RunE: func(cmd *cobra.Command, files []string) error {
			if len(files) > 0 && cmd.Flags().Changed("config") {
				return usageError{fmt.Errorf("--config checks the zones of a configuration: leave out either it or the zone files")}
			}
			if len(files) > 0 {
				return checkFiles(cmd.OutOrStdout(), files)
			}
			return checkConfig(cmd.OutOrStdout(), path)
		},
	}
	cmd.Flags().StringVar(&path, "config", defaultConfig, "the configuration file")
	return cmd
}

func checkConfig(out io.Writer, path string) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	results, err := zonedir.New(cfg.Zones).Scan(true)
	if err != nil {
		return err
	}
	return printResults(out, results)
}

func checkFiles(out io.Writer, files []string) error {
	results := make([]zonedir.Result, len(files))
	for i, f := range files {
		results[i] = zonedir.ReadFile(f)
	}
	return printResults(out, results)
}

// printResults prints all findings, then what each file makes.
func printResults(out io.Writer, results []zonedir.Result) error {
	failed := false
	for i := range results {
		r := &results[i]
		for _, f := range r.Findings {
			fmt.Fprintln(out, f.String())
		}
		if r.Broken() {
			failed = true
			continue
		}
		fmt.Fprintf(out, "%s: zone %s, serial %d, %d records: ok\n", r.File, wire.NameString(r.Apex), r.Zone.Serial(), r.Stats.Records)
	}
	if failed {
		return errReported
	}
	return nil
}
