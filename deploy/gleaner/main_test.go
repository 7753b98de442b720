package main

import (
	"testing"

	"gleaner/internal/cli/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m, "gleaner", main) }

func TestScripts(t *testing.T) { clitest.Run(t) }
