"""Tests of experiments; a package, as the pages' tests have the same names."""
