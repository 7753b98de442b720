package telemetry

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"gleaner/internal/text"
)

// NewLogger returns a logger that writes to w, with a lock around each write. The format is
// "console" (the default) for people or "json" for machines; the level is debug, info (the
// default), warn or error. It returns an error for any other word. For people the levels can have
// colours.
//
// What is the same within a minute, but for numbers, ids and addresses, is written once, and then
// counted.
//
// In JSON, ts is in UTC with milliseconds and durations are in seconds.
func NewLogger(format, level string, w io.Writer, colour bool) (*zap.Logger, error) {
	least, ok := map[string]zapcore.Level{
		"": zap.InfoLevel, "debug": zap.DebugLevel, "info": zap.InfoLevel, "warn": zap.WarnLevel, "error": zap.ErrorLevel,
	}[level]
	if !ok {
		return nil, fmt.Errorf("log level %q is not known: use debug, info, warn or error", level)
	}
	out := zapcore.Lock(zapcore.AddSync(w))
	switch format {
	case "", "console":
		return zap.New(withoutRepeats(&console{LevelEnabler: least, out: out, colour: colour})), nil
	case "json":
		escaped := zapcore.AddSync(text.Escaper{To: out, Make: text.PrintableJSON})
		return zap.New(withoutRepeats(zapcore.NewCore(zapcore.NewJSONEncoder(forMachines()), escaped, least))), nil
	}
	return nil, fmt.Errorf("log format %q is not known: use console or json", format)
}

func forMachines() zapcore.EncoderConfig {
	return zapcore.EncoderConfig{
		TimeKey: "ts", LevelKey: "level", NameKey: "logger", MessageKey: "msg",
		EncodeTime:     zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00"),
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	}
}
