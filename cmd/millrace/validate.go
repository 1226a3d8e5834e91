package main

import (
	"context"
	"errors"
	"fmt"

	"millrace/internal/metrics"
	"millrace/internal/worker"
)

// validateFiles checks connector files and prints one line per problem.
func validateFiles(ctx context.Context, e *env, args []string) error {
	fs := e.flags("validate", "connector.json …")
	props := fs.String("worker", "", "worker.properties whose converters, config providers and policies hold")
	if err := e.parse(fs, args); err != nil {
		return helpOr(err)
	}
	if fs.NArg() == 0 {
		fs.Usage()
		return errUsage
	}
	json := "org.apache.kafka.connect.json.JsonConverter"
	cfg, err := worker.NewConfig(map[string]string{"bootstrap.servers": "localhost:9092", "key.converter": json, "value.converter": json,
		"offset.storage.file.filename": "unused"}, e.log)
	if *props != "" {
		cfg, err = worker.LoadConfig(*props, e.log)
	}
	if err != nil {
		return err
	}
	w := worker.New(cfg, worker.NewRegistry(plugins()), metrics.New(), worker.NewLoggers(e.level), e.log)
	bad := 0
	for _, path := range fs.Args() {
		f, err := readConnector(path)
		if err != nil {
			return err
		}
		infos, err := w.ValidateConfig(ctx, f.config.Value("connector.class"), f.config)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		bad += infos.ErrorCount
		for _, c := range infos.Configs {
			if c.Value == nil {
				continue
			}
			for _, text := range c.Value.Errors {
				fmt.Fprintf(e.out, "%s: %s: %s\n", path, c.Value.Name, text)
			}
		}
		if infos.ErrorCount == 0 {
			fmt.Fprintf(e.out, "%s: valid\n", path)
		}
	}
	if bad > 0 {
		return errors.New("the configs above are not valid")
	}
	return nil
}
