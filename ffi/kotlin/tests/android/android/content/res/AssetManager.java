// A stand-in for the Android SDK's, with what Android.kt uses of it.
package android.content.res;

import java.io.IOException;

public abstract class AssetManager {
    public abstract AssetFileDescriptor openFd(String fileName) throws IOException;
}
