"""python -m memlib unitmem | layermem | probe | prune"""

import sys

from memlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
