"""Old name of ``church.store.embedded``, kept for one release: ``python -m church.embedded_store`` starts it."""

from church.store.embedded import main

if __name__ == "__main__":
    main()
