"""The yardstick: one Mann-Whitney test per case over the minutes' error rates, by scipy."""

import json
import sys

from scipy.stats import mannwhitneyu


def main(path):
    worse = cases = 0
    name, new, old = None, [], []

    def judge():
        nonlocal worse, cases
        if new:
            cases += 1
            worse += mannwhitneyu(new, old, alternative="greater", method="asymptotic").pvalue < 0.01

    with open(path, encoding="utf-8") as lines:
        for line in lines:
            minute = json.loads(line)
            if minute["case"] != name:
                judge()
                name, new, old = minute["case"], [], []
            canary, baseline = minute["canary"], minute["baseline"]
            new.append(canary["errors"] / max(canary["requests"], 1))
            old.append(baseline["errors"] / max(baseline["requests"], 1))
    judge()
    print(f"  {cases} tests, {worse} of them below 1 %")


main(sys.argv[1])
