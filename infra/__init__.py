"""Where the pipeline runs, and what is needed to test and to measure it.

The cloud: ``terraform``, ``container``, ``delivery``. The laptop: ``local``. Tests and measurements: ``doubles``,
``soak``, ``bench``.
"""
